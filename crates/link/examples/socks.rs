//! A link through a SOCKS5 proxy, which also looks the server's name up (RFC 1928); Tor's is one:
//! `cargo run -p xtls-link --example socks -- PROXY:PORT ACCOUNT PASSWORD_FILE`

use std::io::Error;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xtls_link::stanza::normalise::normalise;
use xtls_link::{Dial, Dialling, Duplex, Options, connect};

/// A proxy that wants no password, at this host and port.
pub(crate) struct Socks(pub(crate) String);

impl Dial for Socks {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let mut proxy = TcpStream::connect(&self.0).await?;
            proxy.set_nodelay(true)?;
            proxy.write_all(&[5, 1, 0]).await?;
            if proxy.read_u16().await? != 0x0500 {
                return Err(Error::other("the proxy wants a password"));
            }
            // To a name; proxies take addresses as such, too.
            let len = u8::try_from(host.len()).map_err(Error::other)?;
            let request = [&[5, 1, 0, 3, len], host.as_bytes(), &port.to_be_bytes()].concat();
            proxy.write_all(&request).await?;
            let [_, reply, _, kind] = proxy.read_u32().await?.to_be_bytes();
            if reply != 0 {
                return Err(Error::other(format!("the proxy answers {reply}")));
            }
            let len = match kind {
                1 => 4,
                4 => 16,
                _ => proxy.read_u8().await?,
            };
            let mut own = vec![0; usize::from(len) + 2];
            proxy.read_exact(&mut own).await?;
            Ok(Box::new(proxy) as Box<dyn Duplex>)
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [proxy, account, password] = args.as_slice() else {
        return Err("usage: socks PROXY:PORT ACCOUNT PASSWORD_FILE".into());
    };
    let password = std::fs::read_to_string(password)?.trim().to_owned().into();
    let options = Options::new(&normalise(account)?, password);
    let options = options.dialer(Arc::new(Socks(proxy.clone())));
    eprintln!("this is {}", connect(options).await?.bound());
    Ok(())
}
