//! One server with its records in PostgreSQL, from the outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use harness::nodes::{refused, refused_on, text};
use harness::postgres::Database;
use harness::{BINARY, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a server may take to find out that its database is away, or there again.
const SOON: Duration = Duration::from_secs(20);

async fn on(url: &str, data: Arc<TempDir>) -> Server {
    let environment = [("ROOMFUL_LIMITS__CALLS_PER_SECOND", "0"), ("ROOMFUL_STORE__URL", url)];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    Server::on(data, environment.into()).await
}

fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new().unwrap())
}

#[tokio::test]
async fn a_database_that_is_away_is_said_survived_and_well_again_by_itself() {
    let database = Database::start(&[]);
    let server = on(&database.url("roomful"), folder()).await;
    server.create_room("r").await;
    let _ann = server.enter("ann", "r").await;
    let mut ben = server.log_in("ben").await;
    database.down();

    let said = server.wait_for_readyz(503, SOON).await;
    assert!(said.contains("the database is away"), "{said}");
    let refused = server.live("create_room", json!({"RoomInfo": {"RoomId": "s", "RoomType": "Live"}})).await;
    assert_eq!(refused["ErrorCode"], 100_001, "{refused}");
    assert!(refused["ErrorInfo"].as_str().unwrap().contains("the database is away"), "{refused}");
    // Reading goes on, and so does presence.
    let entered = ben.call("enter_room", json!({"RoomId": "r"})).await;
    assert_eq!(entered["ErrorCode"], 0, "{entered}");
    assert_eq!(server.members("r").await.0, ["ann", "ben"]);

    database.up();
    server.wait_for_readyz(200, SOON).await;
    server.create_room("s").await;
    assert_eq!(server.members("r").await.0, ["ann", "ben"]);
}

#[tokio::test]
async fn another_server_on_the_same_schema_is_refused_and_the_command_line_finds_the_database_by_the_folder()
{
    let (url, _) = Database::shared().own_url();
    let server = on(&url, folder()).await;

    let said = refused(&[], &[("ROOMFUL_STORE__URL".into(), url)]);

    assert!(said.contains("another server has the schema"), "{said}");
    let apps: Value = serde_json::from_slice(&server.cli(&["app", "list", "--json"]).stdout).unwrap();
    assert_eq!(apps[0]["sdkappid"], server.app);
    let made = server.cli(&["app", "create", "--name", "second"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let backup = server.cli(&["backup", "/tmp/never"]);
    assert!(text(&backup.stderr).contains("pg_dump"), "{}", text(&backup.stderr));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_a_folder_without_its_database_is_not_begun_anew() {
    let (url, _) = Database::shared().own_url();
    let mut server = on(&url, folder()).await;
    server.create_room("r").await;
    server.kill();
    let data = server.data.clone();

    let said = refused_on(data.path(), &[], &[]);
    assert!(said.contains("ROOMFUL_STORE__URL"), "{said}");

    let server = on(&url, data).await;
    assert_eq!(server.members("r").await.1, 0);
}

#[tokio::test]
async fn a_server_whose_database_was_taken_over_ends() {
    let (url, schema) = Database::shared().own_url();
    let mut server = on(&url, folder()).await;
    Database::shared().sql(&format!("UPDATE {schema}.nodes SET over = true"));

    let code = tokio::time::timeout(Duration::from_secs(20), server.exited()).await.unwrap();

    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn records_are_brought_there_and_back_by_the_command_line() {
    let (url, _) = Database::shared().own_url();
    let server = Server::with(&[("ROOMFUL_STORE__URL", "")]).await;
    server.create_room("r").await;
    let (data, app) = (server.data.clone(), server.app);
    let at = data.path().to_str().unwrap().to_owned();
    let migrate = |from: &str, to: &str| {
        Command::new(BINARY).args(["migrate", "--json", "--from", from, "--to", to]).output().unwrap()
    };
    let early = migrate(&at, &url);
    assert!(text(&early.stderr).contains("serves"), "{}", text(&early.stderr));
    drop(server);

    let there = migrate(&at, &url);

    let brought: Value =
        serde_json::from_slice(&there.stdout).unwrap_or_else(|_| panic!("{}", text(&there.stderr)));
    assert_eq!((&brought["apps"], &brought["rooms"]), (&json!(1), &json!(1)));
    let server = on(&url, data.clone()).await;
    assert_eq!(server.app, app);
    server.create_room("s").await;
    drop(server);
    std::fs::remove_file(data.path().join("roomful.db")).unwrap();
    let back = migrate(&url, &at);
    assert!(back.status.success(), "{}", text(&back.stderr));
    let environment = vec![("ROOMFUL_LIMITS__CALLS_PER_SECOND".to_string(), "0".to_string())];
    let server = Server::on(data, environment).await;
    assert_eq!((server.members("r").await.1, server.members("s").await.1), (0, 0));
}
