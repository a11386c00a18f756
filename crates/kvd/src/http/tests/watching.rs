//! Watches over HTTP.
use super::double::HISTORY_EVENTS;
use super::{Client, Fixture};

async fn set(client: &mut Client, path: &str) -> u64 {
    let reply = client
        .form("PUT", &format!("/v2/keys{path}"), "value=v")
        .await;
    reply.header("X-Etcd-Index").unwrap().parse().unwrap()
}

fn index_of(event: &[u8]) -> u64 {
    let text = str::from_utf8(event).unwrap();
    let after = text.split("\"modifiedIndex\":").nth(1).unwrap();
    let digits = after.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap()
}

#[tokio::test]
async fn a_long_poll_gets_its_head_at_once_and_one_event() {
    let fixture = Fixture::new();
    let mut writer = fixture.client();
    set(&mut writer, "/a").await;
    let mut client = fixture.client();
    client.start("/v2/keys/a?wait=true").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("X-Etcd-Index")), (200, Some("2")));
    assert_eq!(head.header("Transfer-Encoding"), Some("chunked"));
    set(&mut writer, "/b").await;
    set(&mut writer, "/a").await;
    set(&mut writer, "/a").await;
    assert_eq!(index_of(&client.chunk().await.unwrap()), 4);
    assert_eq!(client.chunk().await, None);
    fixture.until_watchers(0).await;
    assert_eq!(client.get("/v2/keys/a").await.status, 200, "goes on");
}

#[tokio::test]
async fn the_history_answers_at_once_and_what_is_gone_is_said() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    for _ in 0..10 {
        set(&mut client, "/a").await;
    }
    let past = client.get("/v2/keys/a?wait=true&waitIndex=4").await;
    assert_eq!(index_of(&past.body), 4);
    for _ in 0..5 {
        for _ in 0..HISTORY_EVENTS {
            set(&mut client, "/b").await;
        }
        fixture.double.flush();
    }
    let gone = client.get("/v2/keys/a?wait=true&waitIndex=1").await;
    assert_eq!(gone.status, 400, "{}", gone.text());
    assert!(gone.text().contains("\"errorCode\":401"), "{}", gone.text());
    let cause = "the requested history has been cleared [";
    assert!(gone.text().contains(cause), "{}", gone.text());
    assert!(
        gone.text().contains("/1]\",\"index\":261}"),
        "{}",
        gone.text()
    );
}

#[tokio::test]
async fn a_stream_gives_every_event_until_the_client_goes() {
    let fixture = Fixture::new();
    let mut writer = fixture.client();
    let mut client = fixture.client();
    client
        .start("/v2/keys/?wait=true&stream=true&recursive=true&waitIndex=1")
        .await;
    client.head().await;
    for n in 2..=301 {
        assert_eq!(set(&mut writer, "/a/b").await, n);
    }
    for n in 2..=301 {
        assert_eq!(index_of(&client.chunk().await.unwrap()), n);
    }
    drop(client);
    fixture.until_watchers(0).await;
}

#[tokio::test]
async fn server_sent_events_resume_after_the_last_one() {
    let fixture = Fixture::new();
    let mut writer = fixture.client();
    for _ in 0..3 {
        set(&mut writer, "/a").await;
    }
    let mut client = fixture.client();
    client
        .send(
            "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\
             Last-Event-ID: 2\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert_eq!(head.header("Content-Type"), Some("text/event-stream"));
    assert_eq!(head.header("Cache-Control"), Some("no-cache"));
    for n in 3..=4 {
        let event = client.chunk().await.unwrap();
        let event = String::from_utf8(event).unwrap();
        assert!(event.starts_with(&format!("id: {n}\n")), "{event}");
        assert!(event.contains("\ndata: {\"action\":\"set\""), "{event}");
        assert!(event.ends_with("}\n\n"), "{event}");
    }
}

#[tokio::test]
async fn a_slow_stream_loses_nothing_and_holds_little() {
    const EVENTS: u64 = 45;
    let fixture = Fixture::new();
    let mut writer = fixture.client();
    let mut client = fixture.client();
    client.start("/v2/keys/a?wait=true&stream=true").await;
    client.head().await;
    let form = format!("value={}", "x".repeat(100_000));
    for _ in 0..EVENTS {
        // Far more than pipe, buffers and queue take.
        assert!(writer.form("PUT", "/v2/keys/a", &form).await.status < 300);
    }
    for n in 2..=EVENTS + 1 {
        let line = client.chunk().await.unwrap();
        assert_eq!(index_of(&line), n);
        assert!(line.ends_with(b"}\n"));
    }
}

#[tokio::test]
async fn a_stream_that_lost_its_history_says_so() {
    let fixture = Fixture::new();
    let mut writer = fixture.client();
    let mut client = fixture.client();
    client.start("/v2/keys/a?wait=true&stream=true").await;
    client.head().await;
    let form = format!("value={}", "x".repeat(20_000));
    for n in 1..=400 {
        assert!(writer.form("PUT", "/v2/keys/a", &form).await.status < 300);
        if n % HISTORY_EVENTS == 0 {
            fixture.double.flush();
        }
    }
    let mut last = Vec::new();
    while let Some(chunk) = client.chunk().await {
        last = chunk;
    }
    let last = String::from_utf8(last).unwrap();
    assert!(last.contains("\"errorCode\":401"), "{last}");
}

#[tokio::test]
async fn a_thousand_clients_hear_of_one_event_and_the_stop() {
    let fixture = Fixture::new();
    let mut clients = Vec::new();
    for n in 0..1000 {
        let mut client = fixture.client();
        let stream = if n % 2 == 0 { "&stream=true" } else { "" };
        let path = format!("/v2/keys/a?wait=true&recursive=true{stream}");
        client.start(&path).await;
        client.head().await;
        clients.push(client);
    }
    assert_eq!(fixture.state.watchers(), 1000);
    set(&mut fixture.client(), "/a/b").await;
    for client in &mut clients {
        assert_eq!(index_of(&client.chunk().await.unwrap()), 2);
    }
    fixture.until_watchers(500).await;
    fixture.state.stop();
    for client in &mut clients {
        assert_eq!(client.chunk().await, None);
        assert!(client.is_closed().await);
    }
    fixture.until_watchers(0).await;
}
