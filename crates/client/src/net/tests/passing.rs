//! Pipes that stand: bytes, room, ends.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use super::support::sockets_at;
use super::support::{
    Clock, KEY, at, beside, end, event, net, pattern, piped, piped_as, settle, take, turn,
};
use crate::net::{KNOCK, Net, NetEvent, NoRoom, PipeKey};

const ROOM: usize = 262_144;

#[tokio::test]
async fn one_byte_beyond_the_room_is_refused() {
    let mut net = net();
    let _socket = piped(&mut net).await;
    assert_eq!(net.room(KEY), ROOM);
    assert_eq!(net.write(KEY, pattern(ROOM + 1)), Err(NoRoom));
    assert_eq!(net.room(KEY), ROOM);
    net.write(KEY, pattern(ROOM)).unwrap();
    assert_eq!(net.room(KEY), 0);
    assert_eq!(net.write(KEY, pattern(1)), Err(NoRoom));
}

#[tokio::test]
async fn there_is_no_room_where_no_pipe_is() {
    let mut net = net();
    assert_eq!(net.room(PipeKey(1)), 0);
    net.write(PipeKey(1), pattern(1)).unwrap();
    net.close(PipeKey(1));
    assert!(net.is_idle());
}

#[tokio::test]
async fn a_reset_is_an_end_with_its_error() {
    let mut net = net();
    let socket = piped(&mut net).await;
    socket.set_zero_linger().unwrap();
    drop(socket);
    let error = end(&mut net).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(net.is_idle());
}

#[tokio::test]
async fn what_came_before_the_end_is_delivered() {
    let mut net = net();
    let mut socket = piped(&mut net).await;
    // Nobody reads this, so that the socket will be reset by what is in it.
    net.write(KEY, pattern(10)).unwrap();
    assert!(turn(&mut net).await.is_none());
    socket.write_all(&pattern(100_000)).await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(take(&mut net, 100_000).await, pattern(100_000));
    assert!(end(&mut net).await.is_none());
    assert!(net.is_idle());
}

#[tokio::test]
async fn bytes_pass_both_ways_in_any_pieces() {
    let mut net = net();
    let socket = piped(&mut net).await;
    let all = pattern(1_000_000);
    let (mut from, mut to) = socket.into_split();
    let back = all.clone();
    let there = tokio::spawn(async move {
        let mut read = Vec::new();
        let write = async {
            for piece in back.chunks(7_919) {
                to.write_all(piece).await.unwrap();
            }
        };
        let (end, ()) = tokio::join!(from.read_to_end(&mut read), write);
        end.unwrap();
        read
    });
    let mut rest = all.clone();
    let mut came = Vec::new();
    while !rest.is_empty() || came.len() < all.len() {
        while net.room(KEY) > 0 && !rest.is_empty() {
            let piece = net.room(KEY).min(rest.len()).min(33_333);
            net.write(KEY, rest.split_to(piece)).unwrap();
        }
        match event(&mut net).await {
            NetEvent::Bytes { bytes, .. } => came.extend(bytes),
            NetEvent::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, all);
    net.close(KEY);
    assert_eq!(beside(&mut net, there).await.unwrap(), all);
    left(&mut net).await;
}

/// Until everything that was closed has left.
async fn left(net: &mut Net) {
    while !net.is_idle() {
        assert!(turn(net).await.is_none());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn room_is_told_once_the_queue_is_half_empty() {
    let mut net = net();
    let mut socket = piped(&mut net).await;
    // More than the system takes by itself.
    while net.room(KEY) == ROOM {
        net.write(KEY, pattern(ROOM)).unwrap();
        while let Some(event) = turn(&mut net).await {
            assert!(matches!(event, NetEvent::Ready { key: KEY }), "{event:?}");
        }
    }
    while net.room(KEY) > 0 {
        net.write(KEY, pattern(net.room(KEY))).unwrap();
        while turn(&mut net).await.is_some() {}
    }
    let mut buffer = vec![0; 65_536];
    let event = loop {
        tokio::select! {
            biased;
            event = event(&mut net) => break event,
            read = socket.read(&mut buffer) => assert!(read.unwrap() > 0),
        }
    };
    assert!(matches!(event, NetEvent::Ready { key: KEY }), "{event:?}");
    assert!(net.room(KEY) >= ROOM / 2);
    // Little is written, and nobody is told.
    net.write(KEY, pattern(1)).unwrap();
    beside(&mut net, async {
        loop {
            match tokio::time::timeout(Duration::ZERO, socket.read(&mut buffer)).await {
                Ok(read) => assert!(read.unwrap() > 0),
                Err(_) => return,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_written_leaves_after_the_close_and_what_comes_is_ignored() {
    let mut net = net();
    let mut socket = piped(&mut net).await;
    socket.write_all(&pattern(50_000)).await.unwrap();
    net.write(KEY, pattern(ROOM)).unwrap();
    net.close(KEY);
    assert_eq!(net.room(KEY), 0);
    let mut read = Vec::new();
    beside(&mut net, socket.read_to_end(&mut read))
        .await
        .unwrap();
    assert_eq!(read, pattern(ROOM));
    drop(socket);
    left(&mut net).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_what_was_written_is_left_after_five_seconds() {
    let clock = Clock::stop();
    let mut net = net();
    let mut socket = piped(&mut net).await;
    while net.room(KEY) == ROOM {
        net.write(KEY, pattern(ROOM)).unwrap();
        while turn(&mut net).await.is_some() {}
    }
    net.close(KEY);
    assert!(turn(&mut net).await.is_none());
    clock.pass_millis(4_990).await;
    assert!(turn(&mut net).await.is_none());
    assert!(!net.is_idle());
    clock.pass_millis(20).await;
    assert!(turn(&mut net).await.is_none());
    assert!(net.is_idle());
    // Not an end that could be taken for a good one.
    let why = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_end_is_left_after_five_seconds() {
    let clock = Clock::stop();
    let mut net = net();
    let mut socket = piped(&mut net).await;
    net.write(KEY, pattern(10)).unwrap();
    net.close(KEY);
    let mut read = Vec::new();
    beside(&mut net, socket.read_to_end(&mut read))
        .await
        .unwrap();
    assert_eq!(read, pattern(10));
    assert!(!net.is_idle());
    clock.pass_millis(5_010).await;
    assert!(turn(&mut net).await.is_none());
    assert!(net.is_idle());
}

#[tokio::test]
async fn a_flood_on_one_pipe_does_not_silence_another() {
    let mut net = net();
    let mut loud = piped(&mut net).await;
    let mut quiet = piped_as(&mut net, PipeKey(9)).await;
    loud.write_all(&pattern(400_000)).await.unwrap();
    quiet.write_all(b"hello").await.unwrap();
    let mut order = Vec::new();
    for _ in 0..2 {
        match event(&mut net).await {
            NetEvent::Bytes { key, .. } => order.push(key),
            other => panic!("{other:?}"),
        }
    }
    order.sort();
    assert_eq!(order, [KEY, PipeKey(9)]);
}

#[tokio::test]
async fn a_flood_on_a_pipe_does_not_keep_anybody_out() {
    let mut net = net();
    net.set_expecting(true);
    let mut loud = piped(&mut net).await;
    loud.write_all(&pattern(400_000)).await.unwrap();
    let mut peer = TcpStream::connect(at(&net)).await.unwrap();
    peer.write_all(&pattern(KNOCK)).await.unwrap();
    let mut knocked = false;
    for _ in 0..3 {
        knocked |= matches!(event(&mut net).await, NetEvent::Knock { .. });
    }
    assert!(knocked);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_end_leaves_no_socket_and_no_task() {
    let mut net = net();
    net.set_expecting(true);
    let (here, mut ports) = (at(&net).port(), Vec::new());
    for way in 0..5 {
        let mut socket = piped(&mut net).await;
        ports.push(socket.peer_addr().unwrap().port());
        match way {
            // The peer ends, the peer resets, we close, both at once; and the last one when the net goes.
            0 => drop(socket),
            1 => {
                socket.set_zero_linger().unwrap();
                drop(socket);
            }
            2 => {
                net.write(KEY, pattern(9)).unwrap();
                net.close(KEY);
                let mut read = Vec::new();
                beside(&mut net, socket.read_to_end(&mut read))
                    .await
                    .unwrap();
                drop(socket);
            }
            3 => {
                net.close(KEY);
                drop(socket);
            }
            _ => {
                // Nobody answers this one.
                let silent = TcpStream::connect(at(&net)).await.unwrap();
                settle(&mut net).await;
                // The system lists them while those of other tests come and go, and may miss one.
                assert!((0..100).any(|_| sockets_at(here) == 3));
                drop(std::mem::replace(&mut net, super::support::net()));
                assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
                drop(silent);
                continue;
            }
        }
        if way < 2 {
            end(&mut net).await;
        }
        left(&mut net).await;
    }
    for port in ports.into_iter().chain([here]) {
        assert_eq!(sockets_at(port), 0);
    }
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0);
}

#[tokio::test]
async fn finishing_lets_leave_what_was_written() {
    let mut net = net();
    let mut socket = piped(&mut net).await;
    net.write(KEY, pattern(ROOM)).unwrap();
    let there = async {
        let mut read = Vec::new();
        socket.read_to_end(&mut read).await.unwrap();
        drop(socket);
        read
    };
    let ((), read) = tokio::join!(net.finish(), there);
    assert_eq!(read, pattern(ROOM));
}
