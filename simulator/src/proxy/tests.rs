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

async fn proxied() -> (Echo, Proxy, Arc<LinkState>) {
    let echo = echo().await;
    let link = Arc::new(LinkState::new(1));
    let proxy = Proxy::start(echo.address, Arc::clone(&link)).await.unwrap();
    (echo, proxy, link)
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

async fn until_dropped(link: &LinkState, way: Way, count: u64) {
    crate::process::until("a drop", SOON, async || {
        let dropped = link.counted(way).dropped;
        if dropped == count { Ok(()) } else { Err(format!("{dropped} dropped")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn datagrams_go_through_and_are_counted() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    client.send(b"hello").await.unwrap();
    assert_eq!(receive(&client).await, b"hello");
    for way in [Way::ToHub, Way::ToNode] {
        assert_eq!(link.counted(way), Counted { bytes: 5, datagrams: 1, dropped: 0 });
    }
}

#[tokio::test]
async fn each_client_gets_its_own_answers() {
    let (_echo, proxy, _link) = proxied().await;
    let (first, second) = (client(&proxy).await, client(&proxy).await);
    first.send(b"first").await.unwrap();
    second.send(b"second").await.unwrap();
    assert_eq!(receive(&second).await, b"second");
    assert_eq!(receive(&first).await, b"first");
}

#[tokio::test]
async fn a_cut_link_carries_nothing_and_a_healed_one_does() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    link.cut();
    client.send(b"lost").await.unwrap();
    until_dropped(&link, Way::ToHub, 1).await;
    link.heal();
    client.send(b"kept").await.unwrap();
    assert_eq!(receive(&client).await, b"kept");
}

#[tokio::test]
async fn the_way_back_can_be_cut_alone() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    link.set_open(true, false);
    client.send(b"lost").await.unwrap();
    until_dropped(&link, Way::ToNode, 1).await;
    assert_eq!(link.counted(Way::ToHub).datagrams, 1);
}

#[tokio::test]
async fn latency_delays_both_ways() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    link.set_shape(Shape { latency: Duration::from_millis(30), ..Shape::default() });
    let sent = std::time::Instant::now();
    client.send(b"slow").await.unwrap();
    assert_eq!(receive(&client).await, b"slow");
    assert!(sent.elapsed() >= Duration::from_millis(60), "{:?}", sent.elapsed());
}

#[tokio::test]
async fn more_clients_than_places_forget_the_oldest_only() {
    let (_echo, proxy, _link) = proxied().await;
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
    let (echo, proxy, _link) = proxied().await;
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

#[tokio::test]
async fn datagrams_stay_in_order_however_long_each_would_take() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    let ms = Duration::from_millis;
    link.set_shape(Shape { latency: ms(5), jitter: ms(20), ..Shape::default() });
    for number in 0..50_u8 {
        client.send(&[number]).await.unwrap();
    }
    for number in 0..50_u8 {
        assert_eq!(receive(&client).await, [number]);
    }
}

#[tokio::test]
async fn duplicates_come_twice_and_corruption_flips_one_bit() {
    let (_echo, proxy, link) = proxied().await;
    let client = client(&proxy).await;
    link.set_shape(Shape { latency: Duration::ZERO, duplication: 1_000_000, ..Shape::default() });
    client.send(b"twice").await.unwrap();
    // Two at the echo, two of each back.
    for _ in 0..4 {
        assert_eq!(receive(&client).await, b"twice");
    }
    link.set_shape(Shape { latency: Duration::ZERO, corruption: 1_000_000, ..Shape::default() });
    client.send(&[0; 64]).await.unwrap();
    let flipped: u32 = receive(&client).await.iter().map(|byte| byte.count_ones()).sum();
    assert!(flipped == 2 || flipped == 0, "{flipped} bits, one for each way");
}

/// A server that answers with the address from which it was asked.
async fn mirror() -> Echo {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(from.to_string().as_bytes(), from).await.unwrap();
        }
    });
    Echo { address, _task: task }
}

async fn seen_as(client: &UdpSocket) -> SocketAddr {
    client.send(b"who am I?").await.unwrap();
    String::from_utf8(receive(client).await).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_nat_that_forgets_gives_another_port_and_a_move_another_address() {
    let mirror = mirror().await;
    let link = Arc::new(LinkState::new(1));
    let proxy = Proxy::start(mirror.address, Arc::clone(&link)).await.unwrap();
    let client = client(&proxy).await;
    let first = seen_as(&client).await;
    assert_eq!(seen_as(&client).await, first);
    link.rebind();
    let second = seen_as(&client).await;
    assert!(second.ip() == first.ip() && second.port() != first.port());
    link.move_away();
    let moved = seen_as(&client).await;
    assert!(moved.ip() != first.ip() || !cfg!(target_os = "linux"), "{moved}");
    link.set_nat(Some(Duration::ZERO));
    assert_ne!(mapped(&client, &link).await, moved);
}

/// Behind a NAT that forgets at once no answer comes back; it does once the NAT has learnt to remember.
async fn mapped(client: &UdpSocket, link: &LinkState) -> SocketAddr {
    client.send(b"who am I?").await.unwrap();
    until_sent(link, 4).await;
    link.set_nat(None);
    seen_as(client).await
}

async fn until_sent(link: &LinkState, count: u64) {
    crate::process::until("a datagram to pass", SOON, async || {
        let passed = link.counted(Way::ToHub).datagrams;
        if passed > count { Ok(()) } else { Err(format!("{passed} passed")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn clients_of_one_front_have_links_of_their_own() {
    let echo = echo().await;
    let (good, cut) = (Arc::new(LinkState::new(1)), Arc::new(LinkState::new(2)));
    cut.cut();
    let ports = Arc::new(std::sync::Mutex::new(std::collections::BTreeMap::<u16, Arc<LinkState>>::new()));
    let known = Arc::clone(&ports);
    let whose = move |from: SocketAddr| {
        known.lock().unwrap().get(&from.port()).map(|link| Lane { link: Arc::clone(link), way: Way::ToHub })
    };
    let proxy = Proxy::start_shared(echo.address, Arc::new(whose)).await.unwrap();
    let (first, second, stranger) = (client(&proxy).await, client(&proxy).await, client(&proxy).await);
    for (client, link) in [(&first, &good), (&second, &cut)] {
        ports.lock().unwrap().insert(client.local_addr().unwrap().port(), Arc::clone(link));
    }
    stranger.send(b"lost").await.unwrap();
    second.send(b"lost").await.unwrap();
    until_dropped(&cut, Way::ToHub, 1).await;
    first.send(b"kept").await.unwrap();
    assert_eq!(receive(&first).await, b"kept");
    assert_eq!(good.counted(Way::ToHub).datagrams, 1);
}
