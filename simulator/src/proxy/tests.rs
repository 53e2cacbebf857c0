//! Tests of the proxy with a plain UDP echo in the hub's place.

use std::time::Duration;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Echo {
    address: SocketAddr,
    _task: JoinSet<()>,
}

async fn echo() -> Echo {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    Echo { address, _task: task }
}

async fn proxied() -> (Echo, Proxy) {
    let echo = echo().await;
    let proxy = Proxy::start(echo.address, Arc::new(LinkState::new(1))).await.unwrap();
    (echo, proxy)
}

async fn client(proxy: &Proxy) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(proxy.address()).await.unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = tokio::time::timeout(SOON, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer[..length].to_vec()
}

async fn until_dropped(proxy: &Proxy, direction: Direction, count: u64) {
    crate::process::until("a drop", SOON, async || {
        let dropped = proxy.link().counted(direction).dropped;
        if dropped == count { Ok(()) } else { Err(format!("{dropped} dropped")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn datagrams_go_through_and_are_counted() {
    let (_echo, proxy) = proxied().await;
    let client = client(&proxy).await;
    client.send(b"hello").await.unwrap();
    assert_eq!(receive(&client).await, b"hello");
    for direction in [Direction::ToHub, Direction::ToNode] {
        assert_eq!(proxy.link().counted(direction), Counted { bytes: 5, datagrams: 1, dropped: 0 });
    }
}

#[tokio::test]
async fn each_client_gets_its_own_answers() {
    let (_echo, proxy) = proxied().await;
    let (first, second) = (client(&proxy).await, client(&proxy).await);
    first.send(b"first").await.unwrap();
    second.send(b"second").await.unwrap();
    assert_eq!(receive(&second).await, b"second");
    assert_eq!(receive(&first).await, b"first");
}

#[tokio::test]
async fn a_cut_link_carries_nothing_and_a_healed_one_does() {
    let (_echo, proxy) = proxied().await;
    let client = client(&proxy).await;
    proxy.link().cut();
    client.send(b"lost").await.unwrap();
    until_dropped(&proxy, Direction::ToHub, 1).await;
    proxy.link().heal();
    client.send(b"kept").await.unwrap();
    assert_eq!(receive(&client).await, b"kept");
}

#[tokio::test]
async fn the_way_back_can_be_cut_alone() {
    let (_echo, proxy) = proxied().await;
    let client = client(&proxy).await;
    proxy.link().set_up(Direction::ToNode, false);
    client.send(b"lost").await.unwrap();
    until_dropped(&proxy, Direction::ToNode, 1).await;
    assert_eq!(proxy.link().counted(Direction::ToHub).datagrams, 1);
}

#[tokio::test]
async fn latency_delays_both_ways() {
    let (_echo, proxy) = proxied().await;
    let client = client(&proxy).await;
    proxy.link().set_faults(Faults { latency: Duration::from_millis(30), ..Faults::default() });
    let sent = std::time::Instant::now();
    client.send(b"slow").await.unwrap();
    assert_eq!(receive(&client).await, b"slow");
    assert!(sent.elapsed() >= Duration::from_millis(60), "{:?}", sent.elapsed());
}

#[tokio::test]
async fn more_clients_than_places_forget_the_oldest_only() {
    let (_echo, proxy) = proxied().await;
    let first = client(&proxy).await;
    for _ in 0..CLIENTS_MAX {
        let other = client(&proxy).await;
        other.send(b"x").await.unwrap();
        assert_eq!(receive(&other).await, b"x");
    }
    first.send(b"still here").await.unwrap();
    assert_eq!(receive(&first).await, b"still here");
}

#[tokio::test]
async fn a_hub_that_comes_back_is_reached_again() {
    let (echo, proxy) = proxied().await;
    let address = echo.address;
    let client = client(&proxy).await;
    drop(echo);
    crate::process::until("an echo on the same port", SOON, async || {
        client.send(b"anyone?").await.map_err(|error| error.to_string())?;
        UdpSocket::bind(address).await.map(drop).map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    let again = UdpSocket::bind(address).await.unwrap();
    client.send(b"back").await.unwrap();
    let mut buffer = [0; 16];
    let length = tokio::time::timeout(SOON, again.recv_from(&mut buffer)).await.unwrap().unwrap().0;
    assert!(["back", "anyone?"].contains(&std::str::from_utf8(&buffer[..length]).unwrap()));
}
