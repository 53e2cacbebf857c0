//! Full disks, and target folders that cannot be written: refusals in words, nothing lost, recovery by itself.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use simulator::commands::HUB_READY;
use simulator::live::target;
use simulator::process::{Process, until};

use crate::site::{EDGE_READY, Outcome, SOON, Site};

/// A file system of a few megabytes that can be filled.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where it cannot be mounted.
    fn mount(at: PathBuf, size: &str) -> Outcome<Option<Self>> {
        std::fs::create_dir_all(&at)?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Ok(Some(Self(at)));
        }
        println!("skipped: a full disk at {} needs root to mount a tmpfs", at.display());
        Ok(None)
    }

    fn fill(&self) -> Outcome {
        let mut file = File::create(self.0.join("ballast"))?;
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Outcome {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: processes that are being killed may still hold files on it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_on_a_full_disk_reads_refuses_to_write_and_recovers() -> Outcome {
    let mut site = Site::start().await?;
    site.hub.kill().await?;
    let Some(disk) = SmallDisk::mount(site.path("hub"), "4m")? else { return Ok(()) };
    // The log is on the full disk as well, as it is on a machine with one disk.
    let mut spec = site.commands.hub_serve(&site.address.to_string());
    spec.log = disk.0.join("hub.log");
    site.hub = Process::start(spec)?;
    site.hub.line(HUB_READY, SOON).await?;
    site.layer("web", "1").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let edge = site.edge("a").await?;
    site.node_is("the node to have what it should", |row| row.converged()).await?;
    let before = site.picture().await?;

    disk.fill()?;
    let large = "y".repeat(600_000);
    for _ in 0..3 {
        site.layer("web", &large)
            .await?
            .refused(1, &["the disk that holds the data folder is full", "free some space"]);
        site.layer("more", &large).await?.refused(1, &["the disk that holds the data folder is full"]);
    }
    assert_eq!(site.picture().await?, before);
    assert!(site.hub.ended().is_none());

    disk.free()?;
    site.layer("web", "2").await?.done();
    site.node_is("the node to have the new version", |row| row.converged()).await?;
    let files = target::read(&site.commands.target("a"))?;
    assert!(target::file_with(&files, "\"2\"").or(target::file_with(&files, "2")).is_some());
    drop(edge);
    site.hub.kill().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_a_full_disk_keeps_its_target_and_recovers() -> Outcome {
    let site = Site::start().await?;
    let Some(disk) = SmallDisk::mount(site.path("nodes/a"), "16m")? else { return Ok(()) };
    site.layer("web", "first-value").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    site.commands.join("a", site.address, &site.commands.token("fleet=one").await?).await?;
    let mut spec = site.commands.edge_run("a");
    spec.log = disk.0.join("edge.log");
    let mut edge = Process::start(spec)?;
    site.node_is("the node to have what it should", |row| row.converged()).await?;

    disk.fill()?;
    site.layer("web", &format!("second-value{}", "z".repeat(600_000))).await?.done();
    let folder = site.commands.target("a");
    let file = only_file(&folder)?;
    std::fs::remove_file(&file)?;
    until("the agent to repair its target on a full disk", SOON, async || has(&folder, "first-value")).await?;
    assert!(edge.ended().is_none(), "{}", edge.output());

    disk.free()?;
    until("the new version to arrive", SOON * 2, async || has(&folder, "second-value")).await?;
    site.node_is("the node to say so", |row| row.converged()).await?;
    edge.kill().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_is_reported_and_recovers() -> Outcome {
    let site = Site::start().await?;
    let Some(disk) = SmallDisk::mount(site.commands.target("a"), "1m")? else { return Ok(()) };
    site.layer("web", "first-value").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let mut edge = site.edge("a").await?;
    site.node_is("the node to have what it should", |row| row.converged()).await?;
    disk.fill()?;
    site.layer("web", "second-value").await?.done();
    site.health_is("a", "degraded", "no space left to write").await?;
    has(&disk.0, "first-value")?;
    disk.free()?;
    site.health_is("a", "healthy", "").await?;
    has(&disk.0, "second-value")?;
    edge.kill().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_written_is_reported_and_recovers() -> Outcome {
    let site = Site::start().await?;
    site.layer("web", "first-value").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let folder = site.commands.target("a");
    std::fs::write(&folder, "in the way")?;
    let mut edge = site.edge("a").await?;
    edge.line(EDGE_READY, SOON).await?;
    site.health_is("a", "degraded", "is not a directory; move it away").await?;
    let status = site.commands.status("a").await?;
    assert_eq!((&status["health"], &status["running"]), (&"degraded".into(), &true.into()));
    assert_eq!(std::fs::read_to_string(&folder)?, "in the way");
    std::fs::remove_file(&folder)?;
    site.health_is("a", "healthy", "").await?;
    has(&folder, "first-value")?;
    Ok(())
}

fn only_file(folder: &Path) -> Outcome<PathBuf> {
    let files = target::read(folder)?;
    let (name, _) = files.first_key_value().ok_or("the target is empty")?;
    Ok(folder.join(name))
}

fn has(folder: &Path, text: &str) -> Result<(), String> {
    let files = target::read(folder).map_err(|error| error.to_string())?;
    target::file_with(&files, text).map(drop).ok_or_else(|| format!("{:?} without `{text}`", files.keys()))
}
