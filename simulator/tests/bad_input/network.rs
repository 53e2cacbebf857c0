//! Garbage on the hub's UDP port, over a member's own link, and on the admin socket.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use simulator::process::until;
use simulator::random::Random;
use sync_core::id::Name;
use sync_core::identity::{SigningKey, Token};
use sync_core::transport::{Machine, Settings, dial, join};

use crate::site::{Outcome, SOON, Site};

/// Garbage datagrams of one run.
const DATAGRAMS: u64 = 20_000;

/// What garbage may add to the hub's memory: its bounded tables of waiting handshakes, a few megabytes, with room for an
/// allocator that keeps pages.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn garbage_datagrams_neither_stop_the_fleet_nor_fill_the_memory() -> Outcome {
    let site = Site::start().await?;
    site.layer("web", "1").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let (_a, _b) = (site.edge("a").await?, site.edge("b").await?);
    converged(&site, 2).await?;
    let before = resident_kib(&site)?;
    let address = site.address;
    let storm = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let mut random = Random::new(7);
        for number in 0..DATAGRAMS {
            let datagram = garbage(&mut random);
            // The system may refuse one when the hub's buffer is full: that one is lost, as on a network.
            let _ = socket.send_to(&datagram, address);
            if number % 64 == 0 {
                std::thread::yield_now();
            }
        }
        Ok(())
    });
    for value in 2..6 {
        site.layer("web", &value.to_string()).await?.done();
    }
    storm.await??;
    converged(&site, 2).await?;
    let grown = resident_kib(&site)?.saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "the hub grew by {grown} KiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_a_member_is_kept_aside_and_ends_its_link_only() -> Outcome {
    let site = Site::start().await?;
    site.layer("web", "1").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let _edge = site.edge("a").await?;
    let token = Token::parse(&site.commands.token("fleet=two").await?)?;
    let machine = Machine::system();
    let key = SigningKey::generate(&mut *machine.entropy());
    let settings = Settings::default();
    let identity = join(&machine, site.address, &token, &Name::new("faulty")?, &key, &settings).await?;
    let mut random = Random::new(8);
    for _ in 0..20 {
        let mut link = dial(&machine, site.address, &identity, &settings).await?;
        let _ = link.sender.send(garbage(&mut random)).await;
        // The hub says why and ends the link.
        let ended = tokio::time::timeout(SOON, async { while let Ok(Some(_)) = link.receiver.recv().await {} }).await;
        ended.map_err(|_| "the hub kept a link that sends garbage")?;
    }
    converged(&site, 1).await?;
    let status = site.hub(&["status", "-o", "json"]).await?;
    let status: serde_json::Value = serde_json::from_str(&status.done().out)?;
    assert!(status["quarantined_count"].as_u64().is_some_and(|count| count > 0), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_admin_socket_is_refused_and_others_are_served() -> Outcome {
    let mut site = Site::start().await?;
    site.layer("web", "1").await?.done();
    let before = site.picture().await?;
    let path = site.path("hub").join("admin.sock");
    let say = |text: &[u8]| -> Outcome<UnixStream> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(SOON))?;
        // It may be closed before everything is written.
        let _ = stream.write_all(text);
        Ok(stream)
    };
    let answer = |text: &[u8]| -> Outcome<String> {
        let mut answer = Vec::new();
        let _ = say(text)?.read_to_end(&mut answer);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let post = |body: &str| {
        format!(
            "PUT /v1/layers/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert!(answer(b"\x16\x03\x01 no HTTP at all\r\n\r\n")?.starts_with("HTTP/1.1 400"));
    assert!(answer(post("{\"objects\": [").as_bytes())?.contains("cannot understand the request"));
    assert!(answer(post("{\"objects\": [1]}").as_bytes())?.contains("objects[0]"));
    assert!(answer(post(&"[".repeat(100_000)).as_bytes())?.contains("cannot understand the request"));
    let huge = 90_usize << 20;
    let head = format!("PUT /v1/layers/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {huge}\r\n\r\n");
    let body = vec![b' '; huge];
    assert!(answer(&[head.as_bytes(), &body].concat())?.contains("more than"));
    assert!(answer(b"PATCH /v1/layers/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?.contains("405"));
    assert!(answer(b"GET /v2/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?.contains("no such path"));
    // Bodies and headers that never end: others are served meanwhile, and the hub still ends when told to.
    let _waiting = (
        say(b"PUT /v1/layers/web HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")?,
        say(b"PUT /v1/layers/web HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"obj")?,
        say(b"GET /v1/status HTTP/1.1\r\nhost")?,
    );
    assert_eq!(site.picture().await?, before);
    assert!(site.hub.stop(Duration::from_secs(5)).await?.success(), "{}", site.hub.output());
    Ok(())
}

/// Random bytes, first packets of QUIC (RFC 9000, 17.2.2) with a random rest, and such packets cut short.
fn garbage(random: &mut Random) -> Vec<u8> {
    let mut byte = |below: u64| u8::try_from(random.below(below)).unwrap_or(0);
    let kind = byte(3);
    let mut datagram: Vec<u8> = match kind {
        0 => Vec::new(),
        _ => vec![
            0xc0 | byte(16),
            0,
            0,
            0,
            1,
            8,
            byte(256),
            byte(256),
            byte(256),
            byte(256),
            5,
            6,
            7,
            8,
            0,
            0,
            0x44,
            0xa0,
        ],
    };
    let length = if kind == 1 { 1200 } else { 1 + usize::from(byte(256)) * 5 };
    while datagram.len() < length {
        datagram.push(byte(256));
    }
    datagram.truncate(length);
    datagram
}

async fn converged(site: &Site, nodes: usize) -> Outcome {
    until("the nodes to have what they should", SOON, async || {
        let rows = site.commands.nodes().await.map_err(|error| error.to_string())?;
        let count = rows.iter().filter(|row| row.converged()).count();
        if count == nodes { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await?;
    Ok(())
}

fn resident_kib(site: &Site) -> Outcome<u64> {
    let id = site.hub.id().ok_or("the hub has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
