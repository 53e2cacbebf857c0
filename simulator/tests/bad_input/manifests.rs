//! Manifests, layers and command lines that are wrong.

use crate::site::{Outcome, Site, object, run};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_manifests_name_the_place_and_change_nothing() -> Outcome {
    let site = Site::start().await?;
    site.layer("web", "1").await?.done();
    let before = site.picture().await?;
    let cases: [(&str, String, &[&str]); 8] = [
        ("broken.yaml", "kind: [\n".to_owned(), &["broken.yaml:", "malformed YAML"]),
        ("tab.yaml", "a:\n\tb: 1\n".to_owned(), &["tab.yaml:2:", "malformed YAML"]),
        (
            "no-kind.yaml",
            "apiVersion: v1\nmetadata:\n  name: a\n".to_owned(),
            &["no-kind.yaml:1:1", "no `kind`", "every Kubernetes object needs one"],
        ),
        (
            "no-name.yaml",
            format!("{}---\napiVersion: v1\nkind: Secret\nmetadata: {{}}\n", object("a", "1")),
            &["no-name.yaml:", "no `metadata.name`"],
        ),
        (
            "twice.yaml",
            format!("{}---\n{}", object("a", "1"), object("a", "2")),
            &["twice.yaml:8:", "twice.yaml:1:1", "delete one"],
        ),
        ("large.yaml", object("a", &"x".repeat(5 << 20)), &["large.yaml", "larger than 4194304 bytes", "split"]),
        ("object.yaml", object("a", &"x".repeat(2 << 20)), &["object.yaml", "a", "at most 1572864"]),
        ("empty.yaml", "# nothing\n".to_owned(), &["empty.yaml", "no object", "layer delete"]),
    ];
    for (name, text, words) in cases {
        let file = site.file(name, &text)?;
        site.hub(&["layer", "apply", "web", "-f", &file]).await?.refused(1, words);
    }
    let folder = site.path("two");
    site.file("two/a.yaml", &object("same", "1"))?;
    site.file("two/b.yaml", &object("same", "2"))?;
    let said = site.hub(&["layer", "apply", "web", "-f", &folder.display().to_string()]).await?;
    said.refused(1, &["two/b.yaml:1:1", "two/a.yaml:1:1"]);
    site.hub(&["layer", "apply", "web", "-f", "/nonexistent-archipel-test/x.yaml"])
        .await?
        .refused(1, &["/nonexistent-archipel-test/x.yaml"]);
    assert_eq!(site.picture().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_or_is_in_use_is_named_and_stays() -> Outcome {
    let site = Site::start().await?;
    site.layer("web", "1").await?.done();
    site.layer("spare", "1").await?.done();
    site.hub(&["assign", "--layers", "web", "--selector", "fleet=one"]).await?.done();
    let token = site.commands.token("fleet=one").await?;
    site.join("a", "a", &token).await?.done();
    let before = site.picture().await?;
    let no_layer = ["no layer `nope`", "layer list"];
    let no_node = ["no node `nope`", "`nodes` shows all"];
    site.hub(&["layer", "show", "nope"]).await?.refused(1, &no_layer);
    site.hub(&["layer", "delete", "nope"]).await?.refused(1, &no_layer);
    site.hub(&["assign", "--layers", "nope", "--node", "a"]).await?.refused(1, &no_layer);
    site.hub(&["assign", "--layers", "nope", "--selector", "x=y"]).await?.refused(1, &no_layer);
    site.hub(&["release", "--layers", "nope"]).await?.refused(1, &no_layer);
    site.hub(&["assign", "--layers", "web", "--node", "nope"]).await?.refused(1, &no_node);
    site.hub(&["node", "show", "nope"]).await?.refused(1, &no_node);
    site.hub(&["layer", "delete", "web"])
        .await?
        .refused(1, &["`web` is in use", "a", "fleet=one", "assign other layers"]);
    assert_eq!(site.picture().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_is_exit_code_two() -> Outcome {
    let data = "/nonexistent-archipel-test/hub";
    let hub: [(&[&str], &str); 9] = [
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["layer", "apply", "web", "--data", data], "--file"),
        (&["layer", "apply", "Not A Name", "-f", "x", "--data", data], "Not A Name"),
        (&["assign", "--layers", "a,a", "--node", "n", "--data", data], "`a` is named twice"),
        (&["assign", "--layers", "a", "--data", data], "--node"),
        (&["token", "create", "--ttl", "soon", "--data", data], "30m"),
        (&["serve", "--data", data, "--listen", "here"], "here"),
        (&["serve", "--data", data, "--idle-timeout", "0s"], "1s to 1day"),
    ];
    for (arguments, word) in hub {
        run("hub", arguments).await?.refused(2, &[word]);
    }
    // Without a pause an agent would spin, and keep the link open by a storm of pings.
    let agent = |flag: &'static str, value: &'static str| {
        [
            "run",
            "--data",
            "/nonexistent-archipel-test/edge",
            "--target",
            "directory:/nonexistent-archipel-test/t",
            flag,
            value,
        ]
    };
    for (flag, value) in
        [("--interval", "0s"), ("--keep-alive", "0s"), ("--idle-timeout", "0s"), ("--idle-timeout", "900000000years")]
    {
        run("edge", &agent(flag, value)).await?.refused(2, &[flag, "100ms"]);
    }
    run("edge", &agent("--target", "/srv/x")).await?.refused(2, &[]);
    run("edge", &["run", "--data", "/nonexistent-archipel-test/edge", "--target", "/srv/x"])
        .await?
        .refused(2, &["directory:/srv/x"]);
    run(
        "edge",
        &["join", "--data", "/nonexistent-archipel-test/edge", "--hub", "h:1", "--token", "t", "--name", "A B"],
    )
    .await?
    .refused(2, &["A B"]);
    assert!(!std::path::Path::new("/nonexistent-archipel-test").exists());
    Ok(())
}
