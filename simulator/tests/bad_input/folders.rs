//! Data folders that are held, missing, of another role, or of another time.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::site::{EDGE_READY, Outcome, SOON, STOP_WITHIN, Site, refuses, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_a_process_holds_is_left_to_it() -> Outcome {
    let site = Site::start().await?;
    let mut edge = site.edge("a").await?;
    edge.line(EDGE_READY, SOON).await?;
    let (hub, node) = (site.hub_data(), site.node_data("a"));
    let target = format!("directory:{}", site.commands.target("a").display());
    let words = |folder: &str| ["another process holds".to_owned(), folder.to_owned(), "stop it first".to_owned()];
    let held = words(&hub);
    refuses(&["hub", "serve", "--data", &hub, "--listen", "127.0.0.1:0"], &held.each_ref().map(String::as_str)).await?;
    let held = words(&node);
    let held = held.each_ref().map(String::as_str);
    refuses(&["edge", "run", "--data", &node, "--target", &target], &held).await?;
    let token = site.commands.token("fleet=one").await?;
    site.join("a", "again", &token).await?.refused(1, &held);
    assert!(edge.ended().is_none());
    site.node_is("the node to be up still", |row| row.name == "a" && row.link == "up").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_other_role_or_of_none_is_refused_and_kept() -> Outcome {
    let mut site = Site::start().await?;
    let token = site.commands.token("fleet=one").await?;
    site.join("a", "a", &token).await?.done();
    let spare = site.commands.token("fleet=one").await?;
    let (hub, node, none) = (site.hub_data(), site.node_data("a"), site.path("none").display().to_string());
    let target = format!("directory:{}", site.commands.target("a").display());
    // The joining node asks the hub before its own folder is looked at by anybody else: the hub must be gone for the rest.
    site.join("../hub", "b", &spare).await?.refused(1, &["another process holds"]);
    assert!(site.hub.stop(STOP_WITHIN).await?.success());
    let before = (files(Path::new(&hub))?, files(Path::new(&node))?);
    refuses(&["edge", "run", "--data", &hub, "--target", &target], &[&hub, "holds a hub's data", "folder of its own"])
        .await?;
    refuses(&["edge", "status", "--data", &hub], &[&hub, "holds a hub's data", "archipel-hub status"]).await?;
    refuses(
        &["hub", "serve", "--data", &node, "--listen", "127.0.0.1:0"],
        &[&node, "holds a node's data", "of its own"],
    )
    .await?;
    site.join("../hub", "b", &spare).await?.refused(1, &["already belongs to"]);
    refuses(&["hub", "nodes", "--data", &node], &["no hub runs on", &node, "archipel-hub serve"]).await?;
    refuses(&["edge", "run", "--data", &none, "--target", &target], &["no identity yet", "join a hub first"]).await?;
    refuses(&["edge", "status", "--data", &none], &["no database at", &none]).await?;
    refuses(&["hub", "status", "--data", &none], &["no data folder", &none, "--data"]).await?;
    assert!(!Path::new(&none).exists());
    assert!(!site.commands.target("a").exists());
    assert_eq!((files(Path::new(&hub))?, files(Path::new(&node))?), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_newer_program_or_another_one_is_kept_for_it() -> Outcome {
    let mut site = Site::start().await?;
    let token = site.commands.token("fleet=one").await?;
    site.join("a", "a", &token).await?.done();
    assert!(site.hub.stop(STOP_WITHIN).await?.success());
    let (hub, node) = (site.hub_data(), site.node_data("a"));
    let target = format!("directory:{}", site.commands.target("a").display());
    // SQLite's header: `user_version` at offset 60, `application_id` at 68, big-endian.
    for (offset, number, words) in
        [(60, 900_u32, &["format 900", "newer program"][..]), (68, 5, &["database of another program"])]
    {
        for folder in [&hub, &node] {
            let mut file = std::fs::File::options().write(true).open(Path::new(folder).join("archipel.db"))?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&number.to_be_bytes())?;
        }
        let before = (files(Path::new(&hub))?, files(Path::new(&node))?);
        refuses(&["hub", "serve", "--data", &hub, "--listen", "127.0.0.1:0"], words).await?;
        refuses(&["edge", "run", "--data", &node, "--target", &target], words).await?;
        refuses(&["edge", "status", "--data", &node], words).await?;
        assert_eq!((files(Path::new(&hub))?, files(Path::new(&node))?), before);
    }
    let garbage = site.path("garbage");
    std::fs::create_dir(&garbage)?;
    std::fs::write(garbage.join("archipel.db"), "no database, but long enough to be one".repeat(100))?;
    let garbage = garbage.display().to_string();
    run("edge", &["status", "--data", &garbage]).await?.refused(1, &["damaged"]);
    refuses(&["hub", "serve", "--data", &garbage, "--listen", "127.0.0.1:0"], &["damaged"]).await?;
    Ok(())
}

/// The main files of a data folder. SQLite's side files come and go with readers.
fn files(folder: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let database = folder.join("archipel.db");
    let content = std::fs::read(&database)?;
    Ok(BTreeMap::from([(database, content)]))
}
