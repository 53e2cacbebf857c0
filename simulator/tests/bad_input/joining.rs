//! Tokens, names and hubs that are not the right ones.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use simulator::commands::HUB_READY;
use simulator::process::{Process, Spec, until};
use sync_core::identity::Token;
use sync_core::transport::SystemEntropy;

use crate::site::{Outcome, SOON, Site, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_lets_nobody_in_and_the_right_one_still_does() -> Outcome {
    let site = Site::start().await?;
    let other = Site::start().await?;
    let good = site.commands.token("fleet=one").await?;
    let used = site.commands.token("fleet=one").await?;
    site.join("first", "first", &used).await?.done();
    let short: Value =
        serde_json::from_str(&site.hub(&["token", "create", "--ttl", "1s", "-o", "json"]).await?.done().out)?;
    let short = short["token"].as_str().ok_or("no token")?.to_owned();
    let made = SystemTime::now();

    let mut mistyped = good.clone().into_bytes();
    let middle = mistyped.len() / 2;
    mistyped[middle] = if mistyped[middle] == b'Q' { b'R' } else { b'Q' };
    let parsed = Token::parse(&good)?;
    let unknown = Token { id: [7; 8], ..parsed.clone() }.to_string();
    let secret = Token { secret: [7; 16], ..parsed.clone() }.to_string();
    let hub = Token { hub: [7; 16], ..parsed.clone() }.to_string();
    let pin = Token { pin: Token::parse(&other.commands.token("x=y").await?)?.pin, ..parsed }.to_string();
    let mistyped = String::from_utf8(mistyped)?;
    // A token lives whole seconds; it is looked at only when its second is over.
    until("the token to expire", SOON, async || match made.elapsed() {
        Ok(age) if age > Duration::from_millis(2100) => Ok(()),
        age => Err(format!("{age:?}")),
    })
    .await?;
    let before = site.picture().await?;
    let cases: [(&str, &[&str]); 9] = [
        ("", &["archipel1.", "copy the whole line"]),
        ("K10abc::server:def", &["archipel1.", "copy the whole line"]),
        (&good[..40], &["30 characters", "copy the whole line"]),
        (&mistyped, &["mistyped", "copy it again"]),
        (&unknown, &["does not know this token", "make a new one"]),
        (&secret, &["does not know this token", "make a new one"]),
        (&used, &["another node has used this token", "make a new one"]),
        (&short, &["the token has expired", "make a new one"]),
        (&hub, &["is for another one", "dial the hub that made the token"]),
    ];
    for (token, words) in cases {
        site.join("second", "second", token).await?.refused(1, words);
    }
    // The other fleet's hub holds this port as far as the token knows.
    site.join("second", "second", &pin).await?.refused(1, &[&site.address.to_string(), "fleet"]);
    site.join("second", "first", &good).await?.refused(1, &["another node has this name", "choose"]);
    assert_eq!(site.picture().await?, before);

    run("edge", &["status", "--data", &site.node_data("second")]).await?.refused(1, &["join a hub first"]);
    site.join("second", "second", &good).await?.done();
    assert_eq!(site.commands.nodes().await?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hub_on_the_same_port_is_not_believed() -> Outcome {
    let mut site = Site::start().await?;
    let mut edge = site.edge("a").await?;
    site.node_is("the node to be up", |row| row.link == "up").await?;
    site.hub.kill().await?;
    let data = site.path("stranger").display().to_string();
    let listen = site.address.to_string();
    let arguments = ["hub", "serve", "--data", &data, "--listen", &listen];
    let spec =
        Spec { name: "stranger".into(), ..crate::site::spec("stranger", &arguments, &site.path("logs/stranger.log")) };
    let mut stranger = Process::start(spec)?;
    stranger.line(HUB_READY, SOON).await?;
    until("the agent to say whom it found", SOON, async || {
        let status = site.commands.status("a").await.map_err(|error| error.to_string())?;
        let message = status["link_message"].as_str().unwrap_or_default();
        if message.contains("fleet") { Ok(()) } else { Err(message.to_owned()) }
    })
    .await?;
    let nodes = run("hub", &["nodes", "--data", &data, "-o", "json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&nodes.done().out)?["nodes"], serde_json::json!([]));
    assert!(edge.ended().is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_once_whatever_got_lost() -> Outcome {
    let site = Site::start().await?;
    let token = site.commands.token("fleet=one").await?;
    site.join("a", "a", &token).await?.done();
    let before = site.picture().await?;
    site.join("a", "a", &token).await?.refused(1, &["already belongs to"]);
    assert_eq!(site.picture().await?, before);
    // As if the answer had been lost: the same key asks again, with another name.
    let (key, name) =
        (sync_core::identity::SigningKey::generate(&mut SystemEntropy::new()), sync_core::id::Name::new("b")?);
    let token = Token::parse(&site.commands.token("fleet=one").await?)?;
    let machine = sync_core::transport::Machine::system();
    let settings = sync_core::transport::Settings::default();
    sync_core::transport::join(&machine, site.address, &token, &name, &key, &settings).await?;
    let again = sync_core::transport::join(&machine, site.address, &token, &name, &key, &settings).await?;
    assert_eq!(again.id(), key.node_id());
    let other = sync_core::id::Name::new("c")?;
    let error = sync_core::transport::join(&machine, site.address, &token, &other, &key, &settings)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("enrolled as `b`"), "{error}");
    let names: Vec<String> = site.commands.nodes().await?.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["a", "b"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_restored_from_before_a_node_joined_learns_its_name_from_it() -> Outcome {
    let mut site = Site::start().await?;
    site.hub.stop(SOON).await?;
    let (hub, backup) = (site.path("hub"), site.path("backup"));
    std::fs::create_dir(&backup)?;
    std::fs::copy(hub.join("archipel.db"), backup.join("archipel.db"))?;
    site.hub.restart(site.commands.hub_serve(&site.address.to_string())).await?;
    site.hub.line(HUB_READY, SOON).await?;
    let _edge = site.edge("a").await?;
    site.node_is("the node to be up", |row| row.link == "up").await?;
    site.hub.kill().await?;
    std::fs::remove_dir_all(&hub)?;
    std::fs::rename(&backup, &hub)?;
    site.hub.restart(site.commands.hub_serve(&site.address.to_string())).await?;
    site.hub.line(HUB_READY, SOON).await?;
    // The node gives it back its assignment, and with it its name.
    site.node_is("the node to be up under its name", |row| row.link == "up" && row.name == "a").await?;
    Ok(())
}
