//! Bytes that no decent client sends.

use std::{net::SocketAddr, time::Duration};

use gaia_testkit::TestCluster;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

fn address(cluster: &TestCluster) -> SocketAddr {
    cluster.gateway.trim_start_matches("http://").parse().unwrap()
}

/// Sends bytes and gives what comes back until the gateway closes the connection.
async fn answer(cluster: &TestCluster, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address(cluster)).await.unwrap();
    // The gateway may answer and close before everything is sent.
    let _ = stream.write_all(bytes).await;
    read(&mut stream, Duration::from_secs(20)).await
}

async fn read(stream: &mut TcpStream, limit: Duration) -> String {
    let mut all = Vec::new();
    let _ = timeout(limit, stream.read_to_end(&mut all))
        .await
        .expect("the gateway closes in time");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn nonsense_is_refused_and_the_gateway_lives() {
    let cluster = TestCluster::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/personas HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/players/guest HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let answer = answer(&cluster, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(cluster.visitor().await.get("/v1/personas").await.status, 200);
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused() {
    let cluster = TestCluster::start().await;
    let many = format!("GET /docs HTTP/1.1\r\nhost: a\r\n{}\r\n", "x-a: b\r\n".repeat(200));
    assert!(answer(&cluster, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let large = format!("GET /docs HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n", "b".repeat(100_000));
    assert!(answer(&cluster, large.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read() {
    let cluster = TestCluster::start().await;
    let head = "POST /v1/players/guest HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: \
                99999999999\r\nconnection: close\r\n\r\n";
    let began = Instant::now();
    let announced = answer(&cluster, head.as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    assert!(announced.contains("body_too_large"), "{announced}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let chunked = format!(
        "POST /v1/players/guest HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n{}",
        chunk.repeat(3)
    );
    assert!(answer(&cluster, chunked.as_bytes()).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_torn_body_does_no_harm() {
    let cluster = TestCluster::start().await;
    let mut stream = TcpStream::connect(address(&cluster)).await.unwrap();
    let head =
        "POST /v1/players/guest HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read(&mut stream, Duration::from_secs(5)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(cluster.visitor().await.get("/v1/personas").await.status, 200);
}

#[tokio::test]
async fn who_sends_a_byte_now_and_then_is_shown_out() {
    let cluster = TestCluster::start().await;
    let heads_and_bodies = [
        "GET /docs HTTP/1.1\r\nhost",
        "POST /v1/players/guest HTTP/1.1\r\nhost: a\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
    ];
    let began = Instant::now();
    let slow = heads_and_bodies.map(|begin| {
        let address = address(&cluster);
        async move {
            let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
            writing.write_all(begin.as_bytes()).await.unwrap();
            let dripping = async {
                let mut drops = tokio::time::interval(Duration::from_millis(500));
                loop {
                    drops.tick().await;
                    if writing.write_all(b"a").await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            let mut all = Vec::new();
            tokio::select! {
                () = dripping => {}
                _ = reading.read_to_end(&mut all) => {}
            }
            String::from_utf8_lossy(&all).into_owned()
        }
    });
    let [head, body] = timeout(Duration::from_secs(20), futures::future::join_all(slow))
        .await
        .expect("slow clients are shown out within 20 s")
        .try_into()
        .unwrap();
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{head}");
    assert!(
        body.starts_with("HTTP/1.1 408") && body.contains("request_timeout"),
        "{body}"
    );
    assert!(began.elapsed() > Duration::from_secs(5));
}
