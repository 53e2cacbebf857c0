//! Links and joins over real sockets on 127.0.0.1.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it meets what it does not expect")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use sync_core::env::Entropy as _;
use sync_core::id::{Name, NodeId};
use sync_core::identity::{
    CertificateAuthority, Identity, JoinRefusal, JoinReply, JoinRequest, PeerRefusal, Role, SigningKey, Token, tls,
};
use sync_core::limits::FRAME_BYTES_MAX;
use sync_core::transport::frame::FrameError;
use sync_core::transport::{
    CloseCode, DialError, Endpoint, Incoming, JoinConnection, JoinError, Link, LinkError, Machine, RequestError,
    Settings, SystemEntropy, dial, join,
};

/// Awaits with a bound, so that a fault shows as a failed test and not as one that hangs.
async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it happens within 20 s")
}

fn fleet() -> CertificateAuthority {
    CertificateAuthority::create(&mut SystemEntropy::new(), Name::new("north-sea").unwrap()).unwrap()
}

fn member(fleet: &CertificateAuthority, role: Role) -> Identity {
    let mut entropy = SystemEntropy::new();
    let key = SigningKey::generate(&mut entropy);
    fleet.identity(&mut entropy, key, role).unwrap()
}

/// One for all tests: its clock is not looked at.
fn machine() -> &'static Machine {
    static MACHINE: std::sync::OnceLock<Machine> = std::sync::OnceLock::new();
    MACHINE.get_or_init(Machine::system)
}

fn listen(hub: &Identity) -> (Endpoint, SocketAddr) {
    listen_with(hub, Settings::default())
}

fn listen_with(hub: &Identity, settings: Settings) -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::listen(machine(), "127.0.0.1:0".parse().unwrap(), hub, settings).unwrap();
    let address = endpoint.local_addr().unwrap();
    (endpoint, address)
}

async fn accept_link(endpoint: &mut Endpoint) -> Link {
    match soon(endpoint.accept()).await {
        Some(Incoming::Sync(link)) => link,
        other => panic!("expected a link, got {other:?}"),
    }
}

async fn accept_join(endpoint: &mut Endpoint) -> JoinConnection {
    match soon(endpoint.accept()).await {
        Some(Incoming::Join(connection)) => connection,
        other => panic!("expected a join, got {other:?}"),
    }
}

/// Both ends of one link, after the node's first frame.
async fn linked(endpoint: &mut Endpoint, address: SocketAddr, node: &Identity) -> (Link, Link) {
    let dialled = async {
        let mut link = dial(machine(), address, node, &Settings::default()).await.unwrap();
        link.sender.send(b"hello".to_vec()).await.unwrap();
        link
    };
    let (dialled, mut accepted) = soon(async { tokio::join!(dialled, accept_link(endpoint)) }).await;
    assert_eq!(soon(accepted.receiver.recv()).await.unwrap().unwrap(), b"hello");
    (dialled, accepted)
}

#[tokio::test]
async fn frames_travel_both_ways_between_peers_that_know_each_other() {
    let fleet = fleet();
    let (hub, node) = (member(&fleet, Role::Hub), member(&fleet, Role::Node));
    let (mut endpoint, address) = listen(&hub);
    let (mut at_node, mut at_hub) = linked(&mut endpoint, address, &node).await;
    assert_eq!((at_node.peer.id(), at_node.peer.role()), (hub.id(), Role::Hub));
    assert_eq!((at_hub.peer.id(), at_hub.peer.role()), (node.id(), Role::Node));

    at_hub.sender.send(Vec::new()).await.unwrap();
    at_hub.sender.send(b"welcome".to_vec()).await.unwrap();
    assert_eq!(soon(at_node.receiver.recv()).await.unwrap().unwrap(), b"");
    assert_eq!(soon(at_node.receiver.recv()).await.unwrap().unwrap(), b"welcome");
    assert_eq!(at_hub.control.traffic().payload_sent, 1 + 8);
    assert_eq!(at_node.control.traffic().payload_received, 1 + 8);

    at_node.sender.finish();
    assert_eq!(soon(at_hub.receiver.recv()).await.unwrap(), None);
    at_hub.control.close(CloseCode::REVOKED, "stolen on Monday");
    let end = soon(at_node.receiver.recv()).await.unwrap_err();
    assert_eq!(end, LinkError::ClosedByPeer { code: CloseCode::REVOKED, reason: "stolen on Monday".into() });
}

#[tokio::test]
async fn the_largest_frame_passes_and_a_larger_one_is_not_sent() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (mut at_node, mut at_hub) = linked(&mut endpoint, address, &member(&fleet, Role::Node)).await;
    let too_large = soon(at_node.sender.send(vec![1; FRAME_BYTES_MAX + 1])).await;
    assert_eq!(too_large, Err(LinkError::TooLarge { bytes: FRAME_BYTES_MAX + 1 }));
    let whole = async { tokio::join!(at_node.sender.send(vec![1; FRAME_BYTES_MAX]), at_hub.receiver.recv()) };
    let (sent, received) = soon(whole).await;
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap().len(), FRAME_BYTES_MAX);
}

#[tokio::test]
async fn a_link_half_way_through_a_frame_says_so() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (mut at_node, _at_hub) = linked(&mut endpoint, address, &member(&fleet, Role::Node)).await;
    // Nobody reads: the windows fill up, and the send is given up.
    let abandoned = tokio::select! {
        biased;
        sent = at_node.sender.send(vec![1; FRAME_BYTES_MAX]) => Some(sent),
        () = tokio::task::yield_now() => None,
    };
    assert!(abandoned.is_none());
    assert_eq!(soon(at_node.sender.send(b"next".to_vec())).await, Err(LinkError::Torn));
}

/// A connection with a TLS configuration of the test's own making.
async fn raw_connection(address: SocketAddr, tls: rustls::ClientConfig) -> quinn::Connection {
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    soon(endpoint.connect_with(config, address, tls::HUB_NAME).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_on_the_sync_protocol() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (mut config, _) = tls::join_config(fleet.pin()).unwrap();
    config.alpn_protocols = vec![tls::SYNC_PROTOCOL.to_vec()];
    let stranger = raw_connection(address, config);
    let end = async {
        let connection = stranger.await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        let _ = send.write_all(b"\x05hello").await;
        LinkError::from(connection.closed().await)
    };
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        end = soon(end) => {
            assert!(matches!(end, LinkError::ClosedByPeer { code: CloseCode::NO_CERTIFICATE, .. }), "{end}");
        }
    }
}

#[tokio::test]
async fn a_protocol_that_is_not_ours_is_refused() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (mut config, _) = tls::join_config(fleet.pin()).unwrap();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let client = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        connected = soon(client.connect_with(config, address, tls::HUB_NAME).unwrap()) => assert!(connected.is_err()),
    }
}

/// Knows its hub by the pin of one fleet and shows the certificate of another, as only a test can.
#[tokio::test]
async fn a_client_of_another_fleet_is_refused() {
    let (ours, theirs) = (fleet(), fleet());
    let (mut endpoint, address) = listen(&member(&ours, Role::Hub));
    let foreign = member(&theirs, Role::Node);
    let (mut config, _) = tls::join_config(ours.pin()).unwrap();
    config.alpn_protocols = vec![tls::SYNC_PROTOCOL.to_vec()];
    let (with_certificate, _) = tls::client_config(&foreign).unwrap();
    config.client_auth_cert_resolver = with_certificate.client_auth_cert_resolver;
    let end = async { LinkError::from(raw_connection(address, config).await.closed().await) };
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        end = soon(end) => assert!(matches!(end, LinkError::CertificateRefused { .. }), "{end}"),
    }
}

#[tokio::test]
async fn a_hub_of_another_fleet_is_refused_by_its_pin() {
    let (ours, theirs) = (fleet(), fleet());
    let (mut endpoint, address) = listen(&member(&theirs, Role::Hub));
    let node = member(&ours, Role::Node);
    let settings = Settings::default();
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        dialled = soon(dial(machine(), address, &node, &settings)) => {
            let error = dialled.unwrap_err();
            let DialError::NotOurHub { refusal, .. } = &error else { panic!("{error}") };
            assert_eq!(*refusal, PeerRefusal::OtherFleet { pinned: ours.pin(), found: theirs.pin() });
            assert!(error.to_string().contains("pin does not match"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_node_cannot_pose_as_a_hub() {
    let fleet = fleet();
    let (posing, node) = (member(&fleet, Role::Node), member(&fleet, Role::Node));
    assert!(matches!(tls::server_config(&posing), Err(tls::TlsError::NotAHub)));
    // What a stolen node would do with a program of its own.
    let mut config = tls::server_config(&member(&fleet, Role::Hub)).unwrap();
    let chain: Vec<CertificateDer<'static>> = posing.chain().to_vec();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(posing.key().to_pkcs8()).into();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let shown = rustls::sign::CertifiedKey::new(chain, key);
    config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let answering = async { endpoint.accept().await.unwrap().await.map(|_| ()) };
    let settings = Settings::default();
    let (dialled, _) = soon(async { tokio::join!(dial(machine(), address, &node, &settings), answering) }).await;
    let error = dialled.unwrap_err();
    let expected = PeerRefusal::NotAHub { node: posing.id() };
    assert!(matches!(&error, DialError::NotOurHub { refusal, .. } if *refusal == expected), "{error}");
}

#[tokio::test]
async fn an_oversize_frame_ends_the_link_before_it_arrives() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (config, _) = tls::client_config(&member(&fleet, Role::Node)).unwrap();
    let sending = async {
        let connection = raw_connection(address, config).await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&[0xff, 0xff, 0xff, 0x7f]).await.unwrap();
        LinkError::from(connection.closed().await)
    };
    let receiving = async {
        let mut link = accept_link(&mut endpoint).await;
        let error = link.receiver.recv().await.unwrap_err();
        let told = link.control.traffic().payload_received;
        // Keeps the endpoint going until the dialer was told.
        link.control.drained().await;
        (error, told)
    };
    let (end, (error, received)) = soon(async { tokio::join!(sending, receiving) }).await;
    assert_eq!(error, LinkError::Frame(FrameError::Oversize { claimed: (1 << 28) - 1, max: FRAME_BYTES_MAX }));
    assert_eq!(received, 4);
    assert!(matches!(end, LinkError::ClosedByPeer { code: CloseCode::BAD_FRAME, .. }), "{end}");
}

#[tokio::test]
async fn random_datagrams_and_half_handshakes_do_not_disturb_a_link() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (mut at_node, mut at_hub) = linked(&mut endpoint, address, &member(&fleet, Role::Node)).await;

    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut entropy = SystemEntropy::new();
    for round in 0..500_usize {
        let mut datagram = vec![0; 1 + (round * 37) % 1400];
        entropy.fill(&mut datagram);
        if round % 2 == 0 {
            // The first byte and version of a QUIC version 1 Initial; the rest stays noise.
            datagram.splice(..0, [0xc0, 0, 0, 0, 1, 8]);
            datagram.resize(1200, 0);
        }
        socket.send_to(&datagram, address).await.unwrap();
    }
    // Joiners that open no stream: more than may be under way before addresses have to be proven.
    let half: Vec<_> = (0..80)
        .map(|_| {
            let (tls, _) = tls::join_config(fleet.pin()).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
            let client = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let connecting = client.connect_with(config, address, tls::HUB_NAME).unwrap();
            (client, connecting)
        })
        .collect();

    let talk = async {
        for round in 0..50_u8 {
            at_node.sender.send(vec![round; 1000]).await.unwrap();
            assert_eq!(at_hub.receiver.recv().await.unwrap().unwrap(), vec![round; 1000]);
            at_hub.sender.send(vec![round; 1000]).await.unwrap();
            assert_eq!(at_node.receiver.recv().await.unwrap().unwrap(), vec![round; 1000]);
        }
    };
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        () = soon(talk) => {}
    }
    // Another member gets in while the others dawdle.
    linked(&mut endpoint, address, &member(&fleet, Role::Node)).await;
    drop(half);
}

#[tokio::test]
async fn a_handshake_that_leads_nowhere_is_given_up() {
    let fleet = fleet();
    let hub = member(&fleet, Role::Hub);
    let settings = Settings { handshake_timeout: Duration::from_millis(200), ..Settings::default() };
    let (mut endpoint, address) = listen_with(&hub, settings);
    let (config, _) = tls::client_config(&member(&fleet, Role::Node)).unwrap();
    // Authenticates, opens no stream.
    let end = async { LinkError::from(raw_connection(address, config).await.closed().await) };
    tokio::select! {
        accepted = endpoint.accept() => panic!("accepted {accepted:?}"),
        end = soon(end) => assert!(matches!(end, LinkError::ClosedByPeer { code: CloseCode::TOO_SLOW, .. }), "{end}"),
    }
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_reported() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let node = member(&fleet(), Role::Node);
    let settings = Settings { handshake_timeout: Duration::from_millis(100), ..Settings::default() };
    let error = soon(dial(machine(), silent.local_addr().unwrap(), &node, &settings)).await.unwrap_err();
    assert!(matches!(error, DialError::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_node_joins_and_then_links() {
    let fleet = fleet();
    let hub = member(&fleet, Role::Hub);
    let (mut endpoint, address) = listen(&hub);
    let mut entropy = SystemEntropy::new();
    let token = Token::create(&mut entropy, fleet.pin(), &hub.id());
    let (name, key) = (Name::new("harbour").unwrap(), SigningKey::generate(&mut entropy));

    let answering = async {
        let mut connection = accept_join(&mut endpoint).await;
        let request: JoinRequest = connection.request().await.unwrap();
        assert_eq!((request.token_id, &request.name, request.key), (token.id, &name, key.public()));
        assert_eq!(request.secret_hash(), token.secret_hash());
        assert!(request.names_hub(&hub.id()));
        let chain = fleet.issue_chain(&mut entropy, &request.key, Role::Node).unwrap();
        connection.reply(&JoinReply::Accepted { chain, authority: None }).await
    };
    let settings = Settings::default();
    let (joined, answered) =
        soon(async { tokio::join!(join(machine(), address, &token, &name, &key, &settings), answering) }).await;
    answered.unwrap();
    let node = Identity::from_pem(&joined.unwrap().to_pem()).unwrap();
    assert_eq!((node.id(), node.role(), node.pin()), (key.node_id(), Role::Node, fleet.pin()));
    let (_, at_hub) = linked(&mut endpoint, address, &node).await;
    assert_eq!(at_hub.peer.id(), key.node_id());
}

/// What a join ends with when the hub answers `reply`.
async fn answered_with(fleet: &CertificateAuthority, reply: JoinReply) -> JoinError {
    let hub = member(fleet, Role::Hub);
    let (mut endpoint, address) = listen(&hub);
    let mut entropy = SystemEntropy::new();
    let token = Token::create(&mut entropy, fleet.pin(), &hub.id());
    let (name, key) = (Name::new("harbour").unwrap(), SigningKey::generate(&mut entropy));
    let answering = async {
        let mut connection = accept_join(&mut endpoint).await;
        connection.request().await.unwrap();
        connection.reply(&reply).await
    };
    let settings = Settings::default();
    let (joined, answered) =
        soon(async { tokio::join!(join(machine(), address, &token, &name, &key, &settings), answering) }).await;
    answered.unwrap();
    joined.unwrap_err()
}

#[tokio::test]
async fn every_refusal_reaches_the_node() {
    let fleet = fleet();
    for expected in JoinRefusal::ALL {
        let error = answered_with(&fleet, JoinReply::Refused { reason: expected, message: "ask Ana".into() }).await;
        let JoinError::Refused { reason, message } = error else { panic!("{error}") };
        assert_eq!((reason, message.as_str()), (expected, "ask Ana"));
    }
}

#[tokio::test]
async fn a_chain_for_another_key_is_not_taken() {
    let fleet = fleet();
    let chain = member(&fleet, Role::Node).chain().to_vec();
    let error = answered_with(&fleet, JoinReply::Accepted { chain, authority: None }).await;
    assert!(matches!(error, JoinError::Chain(_)), "{error}");
}

#[tokio::test]
async fn the_secret_stays_home_when_the_fleet_or_the_hub_is_another() {
    let (ours, theirs) = (fleet(), fleet());
    let hub = member(&ours, Role::Hub);
    let (mut endpoint, address) = listen(&hub);
    let mut entropy = SystemEntropy::new();
    let (name, key, settings) =
        (Name::new("harbour").unwrap(), SigningKey::generate(&mut entropy), Settings::default());

    let other_fleet = Token::create(&mut entropy, theirs.pin(), &hub.id());
    let other_hub = Token::create(&mut entropy, ours.pin(), &NodeId([9; 32]));
    let attempts = async {
        let first = join(machine(), address, &other_fleet, &name, &key, &settings).await.unwrap_err();
        let second = join(machine(), address, &other_hub, &name, &key, &settings).await.unwrap_err();
        (first, second)
    };
    tokio::select! {
        accepted = endpoint.accept() => panic!("a stream was opened: {accepted:?}"),
        (first, second) = soon(attempts) => {
            assert!(matches!(first, JoinError::Dial(DialError::NotOurHub { .. })), "{first}");
            assert!(first.to_string().contains("pin does not match"), "{first}");
            assert!(matches!(second, JoinError::OtherHub { found } if found == hub.id()), "{second}");
        }
    }
}

#[tokio::test]
async fn a_join_request_that_cannot_be_read_is_an_error_that_can_be_answered() {
    let fleet = fleet();
    let (mut endpoint, address) = listen(&member(&fleet, Role::Hub));
    let (config, _) = tls::join_config(fleet.pin()).unwrap();
    let asking = async {
        let connection = raw_connection(address, config).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(b"\x03abc").await.unwrap();
        receive.read_to_end(1024).await.unwrap()
    };
    let answering = async {
        let mut connection = accept_join(&mut endpoint).await;
        let error = connection.request().await.unwrap_err();
        assert!(matches!(error, RequestError::Message(_)), "{error}");
        let reply = JoinReply::Refused { reason: JoinRefusal::BadRequest, message: error.to_string() };
        connection.reply(&reply).await
    };
    let (answer, answered) = soon(async { tokio::join!(asking, answering) }).await;
    answered.unwrap();
    let reply = JoinReply::decode(&answer[2..]).or_else(|_| JoinReply::decode(&answer[1..])).unwrap();
    assert!(matches!(reply, JoinReply::Refused { reason: JoinRefusal::BadRequest, .. }));
}
