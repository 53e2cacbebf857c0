//! Tests of the API over a real socket, with a hub made of closures behind it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::*;
use crate::client::{AdminClient, ClientError};
use crate::service::{AdminReply, Assigned, CreatedToken, LayerList};

struct RunningHub {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<AdminCommand>>>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl RunningHub {
    async fn start(answer: fn(AdminCommand) -> Result<AdminReply, AdminError>) -> Self {
        Self::start_bounded(ADMIN_BODY_BYTES_MAX, answer).await
    }

    async fn start_bounded(body_bytes_max: usize, answer: fn(AdminCommand) -> Result<AdminReply, AdminError>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = bind_socket(folder.path()).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let handler: AdminHandler = Arc::new(move |command| {
            record.lock().unwrap().push(command.clone());
            Box::pin(async move { answer(command) })
        });
        let (stop, stopped) = oneshot::channel();
        let router = bounded_router(handler, folder.path(), body_bytes_max);
        let served = tokio::spawn(serve_router(listener, router, async move {
            let _dropped_too = stopped.await;
        }));
        Self { folder, seen, stop, served }
    }

    fn client(&self) -> AdminClient {
        AdminClient::new(self.folder.path())
    }

    fn seen(&self) -> Vec<AdminCommand> {
        self.seen.lock().unwrap().clone()
    }

    /// The status and the body of a request written by hand.
    async fn raw(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(socket_path(self.folder.path())).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a fake hub for the commands of these tests")]
fn refuse_all(command: AdminCommand) -> Result<AdminReply, AdminError> {
    let kind = match command {
        AdminCommand::ShowLayer { .. } => AdminErrorKind::NotFound,
        AdminCommand::DeleteLayer { .. } => AdminErrorKind::Conflict,
        AdminCommand::ListLayers => AdminErrorKind::Storage,
        _ => AdminErrorKind::Internal,
    };
    Err(AdminError::new(kind, "refused", "try something else"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a fake hub for the commands of these tests")]
fn answer_some(command: AdminCommand) -> Result<AdminReply, AdminError> {
    match command {
        AdminCommand::CreateToken { ttl_seconds, labels } => {
            Ok(AdminReply::Token(CreatedToken { token: "t".to_owned(), expires_in_seconds: ttl_seconds, labels }))
        }
        AdminCommand::ListLayers => Ok(AdminReply::Layers(LayerList { layers: Vec::new() })),
        AdminCommand::Assign { layers, .. } => Ok(AdminReply::Assigned(Assigned { layers, nodes: Vec::new() })),
        other => refuse_all(other),
    }
}

#[tokio::test]
async fn a_call_reaches_the_handler_and_its_answer_comes_back() {
    let hub = RunningHub::start(answer_some).await;
    let labels = Labels::from([("region".to_owned(), "north".to_owned())]);
    let token = hub.client().create_token(&TokenRequest { ttl_seconds: 60, labels: labels.clone() }).await.unwrap();
    assert_eq!((token.token.as_str(), token.expires_in_seconds, token.labels), ("t", 60, labels.clone()));
    assert!(hub.client().list_layers().await.unwrap().layers.is_empty());
    let target = AssignTarget::Selector(labels);
    let request = AssignRequest { layers: vec![name("b"), name("a")], target: target.clone() };
    assert_eq!(hub.client().assign(&request).await.unwrap().layers, [name("b"), name("a")]);
    let assign = AdminCommand::Assign { layers: vec![name("b"), name("a")], target };
    assert_eq!(hub.seen().last(), Some(&assign));
}

#[tokio::test]
async fn an_applied_layer_is_keyed_and_sorted_by_the_hub_itself() {
    let hub = RunningHub::start(refuse_all).await;
    let pod = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
    let body = json!({"objects": [pod("b"), pod("a")]}).to_string();
    assert_eq!(hub.raw("PUT", "/v1/layers/base", &body).await.0, 500);
    let object = |name: &str| KeyedObject { key: format!("core/Pod//{name}"), object: pod(name) };
    let expected =
        AdminCommand::ApplyLayer { name: name("base"), objects: vec![object("a"), object("b")], release: true };
    assert_eq!(hub.seen(), [expected]);

    for (objects, message) in [
        (json!([pod("a"), pod("a")]), "core/Pod//a is in the request twice"),
        (
            json!([pod("a"), {"kind": "Pod"}]),
            "objects[1]: the object has no `apiVersion`; every Kubernetes object needs one",
        ),
    ] {
        let (status, body) = hub.raw("PUT", "/v1/layers/base", &json!({"objects": objects}).to_string()).await;
        assert_eq!((status, body["error"]["message"].as_str()), (400, Some(message)));
    }
    assert_eq!(hub.seen().len(), 1);
}

#[tokio::test]
async fn refusals_have_a_status_and_say_what_to_do() {
    let hub = RunningHub::start(refuse_all).await;
    let table = [
        ("GET", "/v1/layers/x", "", 404, "not_found"),
        ("DELETE", "/v1/layers/x", "", 409, "conflict"),
        ("GET", "/v1/layers", "", 503, "storage"),
        ("GET", "/v1/status", "", 500, "internal"),
        ("GET", "/v1/nodes/Not-A-Name", "", 400, "invalid"),
        ("GET", "/v1/nodes/%ff", "", 400, "invalid"),
        ("GET", "/nowhere", "", 404, "not_found"),
        ("PATCH", "/v1/layers/x", "", 405, "invalid"),
        ("POST", "/v1/tokens", "{", 400, "invalid"),
        ("POST", "/v1/tokens", r#"{"ttl_seconds": 0}"#, 400, "invalid"),
        ("POST", "/v1/tokens", r#"{"ttl_seconds": 1, "labels": {"-": ""}}"#, 400, "invalid"),
        ("POST", "/v1/releases", r#"{"layers": ["a", "a"]}"#, 400, "invalid"),
        ("POST", "/v1/releases", r#"{"layer": ["a"]}"#, 400, "invalid"),
        ("POST", "/v1/assignments", r#"{"layers": [], "target": {"node": "n"}}"#, 400, "invalid"),
        ("POST", "/v1/assignments", r#"{"layers": ["a"], "target": {"selector": {}}}"#, 400, "invalid"),
    ];
    for (method, path, body, status, kind) in table {
        let (found, answer) = hub.raw(method, path, body).await;
        assert_eq!((found, answer["error"]["kind"].as_str()), (status, Some(kind)), "{method} {path} {body}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    let error = hub.client().show_layer(&name("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "refused; try something else");
}

#[tokio::test]
async fn a_request_above_the_bound_is_refused() {
    let hub = RunningHub::start_bounded(100, refuse_all).await;
    let (status, answer) = hub.raw("POST", "/v1/releases", &" ".repeat(101)).await;
    assert_eq!(status, 400);
    assert!(answer["error"]["hint"].as_str().unwrap().contains("split"), "{answer}");
    assert!(hub.seen().is_empty());
}

#[tokio::test]
async fn the_socket_is_private_and_a_dead_hubs_socket_is_replaced() {
    let hub = RunningHub::start(refuse_all).await;
    let folder = hub.folder.path();
    let mode = std::fs::metadata(socket_path(folder)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(bind_socket(folder).await, Err(SocketError::InUse { .. })));

    hub.stop.send(()).unwrap();
    hub.served.await.unwrap().unwrap();
    let error = AdminClient::new(folder).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NoHub { .. }), "{error}");
    assert!(error.to_string().contains("archipel-hub serve --data"), "{error}");
    drop(bind_socket(folder).await.unwrap());

    std::fs::remove_file(socket_path(folder)).unwrap();
    assert!(matches!(AdminClient::new(folder).status().await, Err(ClientError::NoHub { .. })));
    std::fs::write(socket_path(folder), "").unwrap();
    assert!(matches!(bind_socket(folder).await, Err(SocketError::NotASocket { .. })));
    let gone = folder.join("gone");
    assert!(matches!(AdminClient::new(&gone).status().await, Err(ClientError::NoFolder { .. })));
    let long = folder.join("x".repeat(120));
    assert!(matches!(bind_socket(&long).await, Err(SocketError::PathTooLong { .. })));
    assert!(matches!(AdminClient::new(&long).status().await, Err(ClientError::PathTooLong { .. })));
    assert!(matches!(bind_socket(Path::new("/nowhere/at/all")).await, Err(SocketError::Io { .. })));
}

#[tokio::test]
async fn a_hub_that_breaks_off_or_answers_nonsense_is_reported() {
    for (answer, is_expected) in [
        ("", (|error| matches!(error, ClientError::Broken { .. })) as fn(&ClientError) -> bool),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", |error| matches!(error, ClientError::Answer { .. })),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno", |error| matches!(error, ClientError::Answer { .. })),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let listener = bind_socket(folder.path()).await.unwrap();
        let client = AdminClient::new(folder.path());
        let (called, ()) = tokio::join!(client.status(), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = called.unwrap_err();
        assert!(is_expected(&error), "{answer:?}: {error:?}");
    }
}
