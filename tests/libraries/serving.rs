//! axum at one end of tunnels, hyper's client at the other, by the adapters of `xtls_client`.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use futures::StreamExt;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncReadExt as _;
use xtls_client::http::{Caller, HttpConnector};
use xtls_client::{ConnectError, Connector};
use xtls_session::Peer;
use xtls_tests::keys::{JULIET, ROMEO, address};
use xtls_tls::trust::Policy;

use super::pattern;
use super::tunnel::{Two, service};

fn app() -> Router {
    let whoami = async |ConnectInfo(who): ConnectInfo<Caller>| who.peer().address.to_string();
    let echo = async |body: Bytes| body;
    Router::new()
        .route("/whoami", get(whoami))
        .route("/echo", post(echo))
}

async fn http(two: &Two) -> HttpClient<HttpConnector, Full<Bytes>> {
    let listener = two.juliet.listen(service()).await.unwrap();
    let app = app().into_make_service_with_connect_info::<Caller>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let connector = HttpConnector::new(two.romeo.clone(), service(), address(JULIET));
    HttpClient::builder(TokioExecutor::new()).build(connector)
}

#[tokio::test(start_paused = true)]
async fn each_end_of_http_knows_who_the_other_is() {
    let two = Two::on_first_use().await;
    let http = http(&two).await;
    let response = http.get("http://any.invalid/whoami".parse().unwrap());
    let response = response.await.unwrap();
    let peer = response.extensions().get::<Peer>().unwrap();
    assert_eq!(peer.address, address(JULIET));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, ROMEO.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn one_tunnel_serves_one_request_after_the_other() {
    let two = Two::on_first_use().await;
    let http = http(&two).await;
    for round in 0..20 {
        let body = Full::from(pattern(30_000, round));
        let request = Request::post("http://any.invalid/echo").body(body).unwrap();
        let response = http.request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body == pattern(30_000, round));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_a_key_and_so_it_is_refused() {
    let mut two = Two::new([Policy::Ask, Policy::Tofu]).await;
    let connector = Connector::new(two.romeo.clone(), service());
    let error = connector.connect(&address(JULIET)).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unknown(who) if who.peer == address(JULIET)),
        "{error:?}"
    );
    // The tunnel is gone at the other end too.
    let mut theirs = StreamExt::next(&mut two.incoming).await.unwrap();
    theirs.read_to_end(&mut Vec::new()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_is_an_error_of_the_connector() {
    let two = Two::new([Policy::Tofu, Policy::Pinned]).await;
    let connector = Connector::new(two.romeo.clone(), service());
    let error = connector.connect(&address(JULIET)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Ended(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_opens_nothing_and_its_listener_is_an_ended_stream() {
    let mut two = Two::on_first_use().await;
    let listener = two.juliet.listen(service()).await.unwrap();
    two.romeo.stop().await;
    two.juliet.stop().await;
    assert_eq!(listener.count().await, 0);
    assert!(StreamExt::next(&mut two.incoming).await.is_none());
    let connector = Connector::new(two.romeo.clone(), service());
    let error = connector.connect(&address(JULIET)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Open(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_a_stream_of_tunnels() {
    let two = Two::on_first_use().await;
    let mut tunnels = two
        .juliet
        .listen(service())
        .await
        .unwrap()
        .map(|tunnel| tunnel.peer().clone());
    let _ours = two.romeo.open(&address(JULIET)).await.unwrap();
    assert_eq!(tunnels.next().await, Some(address(ROMEO)));
}
