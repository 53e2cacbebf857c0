//! Told to stop, a hub and an agent end soon and say goodbye, whoever of their peers still lives.

use std::process::Command;

use simulator::process::{Process, until};

use crate::site::{EDGE_READY, Outcome, SOON, STOP_WITHIN, Site, spec};

/// An agent that would wait long for a silent hub.
async fn patient_edge(site: &Site, node: &str) -> Outcome<Process> {
    site.commands.join(node, site.address, &site.commands.token("fleet=one").await?).await?;
    let target = format!("directory:{}", site.commands.target(node).display());
    let data = site.node_data(node);
    let arguments = ["edge", "run", "--data", &data, "--target", &target, "--idle-timeout", "30s"];
    Ok(Process::start(spec(node, &arguments, &site.path("logs").join(node)))?)
}

fn signal(process: &Process, name: &str) -> Outcome {
    let id = process.id().ok_or("the process has ended")?;
    let status = Command::new("sh").args(["-c", "kill -$1 $2", "sh", name, &id.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err("no such process".into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_says_goodbye() -> Outcome {
    let mut site = Site::start().await?;
    let (mut a, b) = (patient_edge(&site, "a").await?, patient_edge(&site, "b").await?);
    until("both to be up", SOON, async || {
        let rows = site.commands.nodes().await.map_err(|error| error.to_string())?;
        if rows.iter().filter(|row| row.link == "up").count() == 2 { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await?;
    assert!(a.stop(STOP_WITHIN).await?.success(), "{}", a.output());
    // Far sooner than by the 30 s of silence after which it would be missed.
    site.node_is("the hub to know that a is gone", |row| row.name == "a" && row.link == "down").await?;
    assert!(site.hub.stop(STOP_WITHIN).await?.success(), "{}", site.hub.output());
    until("b to know that the hub is gone", SOON, async || {
        let status = site.commands.status("b").await.map_err(|error| error.to_string())?;
        if status["link_up"] == false { Ok(()) } else { Err(status.to_string()) }
    })
    .await?;
    assert!(b.output().contains("the process ends"), "{}", b.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_peers_keep_nobody_from_stopping() -> Outcome {
    let mut site = Site::start().await?;
    let (mut a, mut b) = (patient_edge(&site, "a").await?, patient_edge(&site, "b").await?);
    site.node_is("a to be up", |row| row.name == "a" && row.link == "up").await?;
    site.node_is("b to be up", |row| row.name == "b" && row.link == "up").await?;
    b.kill().await?;
    signal(&site.hub, "STOP")?;
    assert!(a.stop(STOP_WITHIN).await?.success(), "{}", a.output());
    signal(&site.hub, "CONT")?;
    let mut c = patient_edge(&site, "c").await?;
    site.node_is("c to be up", |row| row.name == "c" && row.link == "up").await?;
    signal(&c, "STOP")?;
    assert!(site.hub.stop(STOP_WITHIN).await?.success(), "{}", site.hub.output());
    signal(&c, "CONT")?;
    // Without a hub: in the middle of a handshake that nobody answers, or of a wait.
    assert!(c.stop(STOP_WITHIN).await?.success(), "{}", c.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_hub_stops_and_starts() -> Outcome {
    let mut site = Site::start().await?;
    let mut edge = patient_edge(&site, "a").await?;
    edge.line(EDGE_READY, SOON).await?;
    site.hub.kill().await?;
    assert!(edge.stop(STOP_WITHIN).await?.success(), "{}", edge.output());
    let spec = edge.spec().clone();
    edge.restart(spec).await?;
    edge.line(EDGE_READY, SOON).await?;
    assert!(edge.stop(STOP_WITHIN).await?.success(), "{}", edge.output());
    Ok(())
}
