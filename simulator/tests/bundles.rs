//! A hub and a node as real processes that never have a link after the enrolment: files go both ways.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use simulator::commands::{Commands, HUB_READY};
use simulator::process::{Process, Spec, run_to_end, until};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long something may take that takes a second or two on an idle machine.
const SOON: Duration = Duration::from_secs(30);

struct Island {
    work: tempfile::TempDir,
    commands: Commands,
}

/// What a command said, and whether it was done.
struct Said {
    done: bool,
    out: String,
    err: String,
}

impl Island {
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    async fn run(&self, role: &str, data: &Path, arguments: &[&str]) -> Outcome<Said> {
        let data = data.display().to_string();
        let arguments = [&[role], arguments, &["--data", &data]].concat().into_iter().map(OsString::from).collect();
        let spec = Spec { program: program().to_owned(), arguments, ..self.commands.edge_run("shop") };
        let ended = run_to_end(&spec, SOON).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { done: ended.status.success(), out: text(&ended.stdout), err: text(&ended.stderr) })
    }

    async fn hub(&self, arguments: &[&str]) -> Outcome<Said> {
        self.run("hub", &self.path("hub"), arguments).await
    }

    async fn edge(&self, arguments: &[&str]) -> Outcome<Said> {
        self.run("edge", &self.path("nodes/shop"), arguments).await
    }

    async fn layer(&self, value: &str) -> Outcome {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: one, namespace: default }}\ndata: {{ value: {value} }}\n"
        );
        let file = self.path("base.yaml");
        std::fs::write(&file, text)?;
        self.hub(&["layer", "apply", "base", "-f", &file.display().to_string()]).await?.json()?;
        Ok(())
    }

    async fn hub_file(&self, name: &str) -> Outcome<String> {
        let file = self.path(name).display().to_string();
        self.hub(&["bundle", "export", "--node", "shop", "--out", &file, "-o", "json"]).await?.json()?;
        Ok(file)
    }

    /// What the target holds of the one object.
    fn holds(&self, value: &str) -> bool {
        fn texts(folder: &Path) -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let read = |path: PathBuf| match path.is_dir() {
                true => texts(&path),
                false => std::fs::read_to_string(path).into_iter().collect(),
            };
            entries.flat_map(read).collect()
        }
        texts(&self.commands.target("shop")).iter().any(|text| text.contains(value))
    }

    /// Lets the agent run until the target is as desired.
    async fn apply(&self, value: &str, release: u64) -> Outcome {
        let mut agent = Process::start(self.commands.edge_run("shop"))?;
        agent.line("running", SOON).await?;
        until("the target to hold the value", SOON, async || {
            if self.holds(value) { Ok(()) } else { Err("another one".to_owned()) }
        })
        .await?;
        // A bundle needs the folder for itself.
        let refused = self.edge(&["bundle", "export", "--out", "nowhere"]).await?;
        assert!(!refused.done && refused.err.contains("stop it"), "{}", refused.err);
        until("the agent to have noted it", SOON, async || {
            let status = self.commands.status("shop").await.map_err(|error| error.to_string())?;
            let noted = status["report_waiting"] == true && status["applied"]["release"]["version"] == release;
            if noted { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        agent.stop(SOON).await?;
        Ok(())
    }

    async fn node(&self) -> Outcome<Value> {
        Ok(self.hub(&["nodes", "-o", "json"]).await?.json()?["nodes"][0].clone())
    }
}

impl Said {
    fn json(&self) -> Outcome<Value> {
        assert!(self.done, "{}", self.err);
        Ok(serde_json::from_str(&self.out).unwrap_or(Value::Null))
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_archipel-sim"))
}

#[tokio::test]
async fn an_island_is_governed_by_files_alone() -> Outcome {
    let work = tempfile::tempdir()?;
    let commands = Commands::new(program(), work.path())?;
    let island = Island { work, commands };
    let mut hub = Process::start(island.commands.hub_serve("127.0.0.1:0"))?;
    let address = hub.line(HUB_READY, SOON).await?.parse()?;
    island.commands.join("shop", address, &island.commands.token("fleet=one").await?).await?;
    // From here on the node dials a port where nobody answers.
    hub.stop(SOON).await?;
    let mut hub = Process::start(island.commands.hub_serve("127.0.0.1:0"))?;
    hub.line(HUB_READY, SOON).await?;

    island.layer("first").await?;
    island.hub(&["assign", "--node", "shop", "--layers", "base"]).await?.json()?;
    let early = island.edge(&["bundle", "export", "--out", "nowhere"]).await?;
    assert!(!early.done && early.err.contains("import a bundle"), "{}", early.err);
    let first = island.hub_file("first").await?;
    let imported = island.edge(&["bundle", "import", &first, "-o", "json"]).await?.json()?;
    assert_eq!((&imported["fit"], &imported["refused_count"]), (&"continues".into(), &0.into()), "{imported}");
    island.apply("first", 1).await?;

    let back = island.path("back").display().to_string();
    island.edge(&["bundle", "export", "--out", &back]).await?.json()?;
    let imported = island.hub(&["bundle", "import", &back, "-o", "json"]).await?.json()?;
    assert_eq!((&imported["fit"], &imported["refused_count"]), (&"continues".into(), &0.into()), "{imported}");
    let node = island.node().await?;
    assert_eq!(node["applied"], node["desired"], "{node}");
    assert_eq!((&node["link"], &node["health"]), (&"never".into(), &"healthy".into()), "{node}");

    island.layer("second").await?;
    let second = island.hub_file("second").await?;
    let mut damaged = std::fs::read(&second)?;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let damaged_file = island.path("damaged");
    std::fs::write(&damaged_file, damaged)?;
    let refused = island.edge(&["bundle", "import", &damaged_file.display().to_string()]).await?;
    assert!(!refused.done && refused.err.contains("damaged"), "{}", refused.err);
    let other = island.hub(&["bundle", "import", &second]).await?;
    assert!(!other.done && other.err.contains("written here"), "{}", other.err);
    for fit in ["continues", "held"] {
        let imported = island.edge(&["bundle", "import", &second, "-o", "json"]).await?.json()?;
        assert_eq!(imported["fit"], fit, "{imported}");
    }
    island.apply("second", 2).await?;
    hub.stop(SOON).await?;
    Ok(())
}
