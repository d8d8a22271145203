//! What observers hear, and what none of them ever does.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_core::audit::{Audit, LogObserver, LoginEvent};
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::gate::{Challenge, Denial, GateDecision, LoginCandidate};
use portcullis_core::password::PasswordHash;
use portcullis_core::{
    Credential, CredentialStore, Error, LoginGate, LoginObserver, Secret, TokenEndpoint, UserId,
    Username, async_trait,
};
use portcullis_testkit::RecordedEvent;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::house::{ABROAD, FORM, House, LOGIN, cookie, member, post};

/// Denies the code `deny`, asks for a code where there is none, and admits every other.
#[derive(Debug)]
struct Codes;

#[async_trait]
impl LoginGate for Codes {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        let code = candidate.field("code").map(Secret::expose);
        Ok(match code {
            Some("deny") => GateDecision::Deny(Denial::new("No\nentry")),
            Some(_) => GateDecision::Admit,
            None => GateDecision::Challenge(Challenge::new("A code, please")),
        })
    }

    fn fields(&self) -> &'static [&'static str] {
        &["code"]
    }
}

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

/// Makes each kind of event happen once, in the order of the names.
async fn everything(house: &House, audit: &Audit) -> Vec<String> {
    let endpoint = house.by_cookie().with_audit(audit.clone());
    let gated = endpoint.clone().with_gate(Arc::new(Codes));
    let in_body = house.in_body().with_audit(audit.clone());
    let accounts = house.accounts().with_audit(audit.clone());
    let mut tokens = Vec::new();
    let mut log_in = async || {
        let reply = post(&endpoint, &format!("{LOGIN}&client_id=spa")).await;
        tokens.push(member(&reply, "access_token"));
        let token = cookie(&reply, "refresh_token").unwrap();
        tokens.push(token.clone());
        token
    };
    let cookie_of = |token: &str| format!("refresh_token={token}");

    // Succeeded.
    let sent = cookie_of(&log_in().await);
    let sent = [sent.as_bytes()];
    post(&gated, &format!("{LOGIN}&client_id=spa")).await;
    post(&gated, &format!("{LOGIN}&client_id=spa&code=deny")).await;
    for body in [
        "username=typed-name&password=typed-secret",
        "username=eve&password=right",
    ] {
        post(&endpoint, body).await;
    }
    post(
        &endpoint,
        "username=ada&password=typed-secret&client_id=spa",
    )
    .await;
    // Refreshed, reused, refused, logged out.
    endpoint.handle_refresh(sent, Some(ABROAD)).await;
    house.clock.advance(Duration::from_secs(60));
    endpoint.handle_refresh(sent, Some(ABROAD)).await;
    let other = log_in().await;
    let refresh = format!("grant_type=refresh_token&refresh_token={other}&client_id=another");
    post(&in_body, &refresh).await;
    let sent = cookie_of(&other);
    endpoint
        .handle_log_out([sent.as_bytes()], Some(ABROAD))
        .await;
    let revoke = format!("token={}", log_in().await);
    let request = LoginRequest::new(Some(FORM), revoke.as_bytes()).with_remote_address(ABROAD);
    in_body.handle_revoke(request).await;

    let name = Username::new("typed-name");
    let bob = accounts
        .sign_up(name, secret("typed-secret"), ["read"])
        .await
        .unwrap()
        .user_id;
    let changed =
        accounts.change_password(&bob, secret("typed-secret"), secret("typed-other"), None);
    changed.await.unwrap();
    accounts.log_out_everywhere(&bob).await.unwrap();
    accounts.disable(&bob).await.unwrap();
    accounts.enable(&bob).await.unwrap();
    accounts.delete(&bob).await.unwrap();
    // One has failed before.
    for _ in 0..5 {
        post(&endpoint, "username=typed-name&password=typed-secret").await;
    }
    accounts.unlock(&Username::new("typed-name")).await.unwrap();
    tokens
}

#[tokio::test]
async fn each_event_says_who_whence_and_why() {
    let house = House::new().await;
    everything(&house, &house.audit).await;
    let heard = house.observer.take();
    let signed_up = heard
        .iter()
        .find(|event| event.kind == "signed_up")
        .unwrap();
    let bob = signed_up.user_id.clone().unwrap();
    let account = |name: &str| {
        heard
            .iter()
            .find(|event| event.user_id.as_deref() == Some(name) && event.account.is_some())
            .unwrap()
            .account
    };
    let (ada, eve) = (account("1"), account("2"));
    let typed = heard
        .iter()
        .find(|event| event.reason.as_deref() == Some("unknown_user"))
        .unwrap()
        .account;
    assert_ne!(ada, eve);
    assert!(ada.is_some() && eve.is_some() && typed.is_some());

    // Of a form: who it names, whence it came, and which client sent it.
    let form =
        |kind, reason: Option<&str>, user_id: Option<&str>, account, client_id: Option<&str>| {
            RecordedEvent {
                kind,
                reason: reason.map(str::to_owned),
                user_id: user_id.map(str::to_owned),
                account,
                remote_address: Some(ABROAD),
                client_id: client_id.map(str::to_owned),
                retry_after: None,
            }
        };
    // Of an operator: whom it is about.
    let about = |kind| RecordedEvent {
        kind,
        user_id: Some(bob.clone()),
        ..RecordedEvent::default()
    };
    let spa = Some("spa");
    let unknown = || form("refused", Some("unknown_user"), None, typed, None);
    let mut expected = vec![
        form("succeeded", None, Some("1"), ada, spa),
        form("challenged", None, Some("1"), ada, spa),
        form("denied", Some("No\nentry"), Some("1"), ada, spa),
        unknown(),
        form("refused", Some("disabled"), Some("2"), eve, None),
        form("refused", Some("wrong_password"), Some("1"), ada, spa),
        form("refreshed", None, Some("1"), None, None),
        form("reused", None, Some("1"), None, None),
        form("succeeded", None, Some("1"), ada, spa),
        form("refresh_refused", None, Some("1"), None, Some("another")),
        form("logged_out", None, Some("1"), None, None),
        form("succeeded", None, Some("1"), ada, spa),
        form("revoked", None, Some("1"), None, None),
        about("signed_up"),
        about("password_changed"),
        about("sessions_ended"),
        about("disabled"),
        about("enabled"),
        about("disabled"),
        about("deleted"),
    ];
    expected.extend((0..4).map(|_| unknown()));
    expected.push(RecordedEvent {
        retry_after: Some(Duration::from_secs(1)),
        ..form("throttled", Some("account"), None, typed, None)
    });
    expected.push(RecordedEvent {
        kind: "unlocked",
        account: typed,
        ..RecordedEvent::default()
    });
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn why_a_login_was_refused_is_told_to_observers_alone() {
    let house = House::new().await;
    for (id, name, hash) in [("3", "none", None), ("4", "corrupt", Some("$what$"))] {
        let mut user = Credential::new(UserId::new(id), Username::new(name));
        user.password_hash = hash.map(PasswordHash::new);
        CredentialStore::create(&*house.users, &user).await.unwrap();
    }
    let mut replies = Vec::new();
    for (name, reason) in [
        ("none", "no_password"),
        ("corrupt", "corrupt_hash"),
        ("nobody", "unknown_user"),
        ("eve", "disabled"),
    ] {
        let body = format!("username={name}&password=right");
        replies.push(post(&house.endpoint(), &body).await);
        assert_eq!(house.observer.take_names(), [format!("refused: {reason}")]);
    }
    replies.dedup();
    assert_eq!(replies.len(), 1);
}

/// Keeps all that can be printed of events.
#[derive(Debug, Default)]
struct Printer(Mutex<String>);

impl LoginObserver for Printer {
    fn observe(&self, event: &LoginEvent<'_>) {
        *self.0.lock().unwrap() += &format!("{event:?}\n");
    }
}

#[tokio::test]
async fn no_event_holds_a_typed_in_name_a_password_or_a_token() {
    let house = House::new().await;
    let printer = Arc::new(Printer::default());
    let audit = Audit::new().with_observer(printer.clone());
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let tokens = everything(&house, &audit).await;
    let printed = format!("{}{:?}{audit:?}", printer.0.lock().unwrap(), log.lines());
    assert!(printed.contains("Succeeded") && printed.contains("succeeded"));
    let mut secrets = vec!["typed", "$fake$", "right"];
    assert_eq!(tokens.len(), 6);
    // Whole tokens, and the halves of refresh tokens that are secret.
    secrets.extend(tokens.iter().map(|token| &token[24..]));
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
}

#[tokio::test]
async fn an_account_has_one_hash_under_one_key() {
    let house = House::new().await;
    let hash = async |key: &[u8], name: &str| {
        let audit = house.audit.clone().with_key(key);
        let issuer = Arc::new(house.issuer());
        let endpoint = TokenEndpoint::new(house.authenticator.clone(), issuer).with_audit(audit);
        post(&endpoint, &format!("username={name}&password=wrong")).await;
        let account = house.observer.take()[0].account.unwrap();
        account.to_string()
    };
    let one = hash(b"key", "ada").await;
    assert_eq!(one.len(), 32);
    assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(hash(b"key", "ada").await, one);
    // The name as typed in: it may be nobody's.
    assert_ne!(hash(b"key", "Ada").await, one);
    assert_ne!(hash(b"another key", "ada").await, one);
    assert_ne!(hash(b"", "ada").await, one);

    house.random.exhaust();
    let audit = Audit::silent().with_random(&*house.random);
    assert_eq!(
        audit.unwrap_err().kind(),
        portcullis_core::ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_client_id_that_is_too_long_is_heard_by_nobody() {
    let house = House::new().await;
    let longest = "x".repeat(256);
    for (client_id, heard) in [
        (longest.clone(), Some(longest.clone())),
        (longest + "x", None),
    ] {
        post(&house.endpoint(), &format!("{LOGIN}&client_id={client_id}")).await;
        assert_eq!(house.observer.take()[0].client_id, heard);
    }
}

/// Panics at each event.
#[derive(Debug)]
struct Panics;

impl LoginObserver for Panics {
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn observe(&self, _: &LoginEvent<'_>) {
        panic!("an observer panics");
    }
}

#[tokio::test]
async fn an_observer_that_panics_changes_nothing_and_silences_no_other() {
    let house = House::new().await;
    let audit = Audit::silent()
        .with_observer(Arc::new(Panics))
        .with_observer(house.observer.clone());
    let endpoint = house.endpoint().with_audit(audit);
    assert_eq!(post(&endpoint, LOGIN).await.status(), 200);
    assert_eq!(house.observer.take_names(), ["succeeded"]);
}

#[tokio::test]
async fn the_log_has_one_line_for_each_event() {
    let house = House::new().await;
    let audit = Audit::silent()
        .with_observer(Arc::new(LogObserver::new()))
        .with_observer(house.observer.clone());
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    everything(&house, &audit).await;

    let lines = log.lines();
    let heard = house.observer.take();
    assert_eq!(lines.len(), heard.len());
    for (line, event) in lines.iter().zip(&heard) {
        let level = if event.kind == "reused" {
            "WARN"
        } else {
            "INFO"
        };
        let begin = format!("{level} event={}", event.kind);
        assert!(line.starts_with(&begin), "{line}");
    }
    // Without a key there is no hash of the name.
    assert_eq!(
        lines[0],
        "INFO event=succeeded user_id=1 remote_address=198.51.100.1 client_id=spa"
    );
    // What begins a line of its own is written with escapes.
    assert_eq!(
        lines[2],
        "INFO event=denied reason=No\\nentry user_id=1 remote_address=198.51.100.1 client_id=spa"
    );
    let throttled = lines
        .iter()
        .find(|line| line.contains("=throttled"))
        .unwrap();
    assert_eq!(
        throttled,
        "INFO event=throttled reason=account retry_after=1 remote_address=198.51.100.1"
    );

    let forged = format!("{LOGIN}&client_id=a%0AINFO+event%3Dsucceeded%1B");
    post(&house.endpoint().with_audit(audit), &forged).await;
    let lines = log.lines();
    let last = lines.last().unwrap();
    assert!(
        last.ends_with("client_id=a\\nINFO event=succeeded\\u{1b}"),
        "{last}"
    );
}

/// Whoever may choose a user id, as who fills a table that is mapped, forges no line.
#[tokio::test]
async fn no_text_of_others_begins_a_line_of_the_log() {
    let mut house = House::new().await;
    let id = "1\nINFO user=admin logged in\u{1b}[2J\r\u{202e}x";
    let log = Log::of_everything();
    let _guard = tracing::subscriber::set_default(log.clone());
    house.authenticator = house.authenticator.with_longest_check(Duration::ZERO);
    house.audit = Audit::new();
    let endpoint = house.by_cookie();
    let accounts = house.accounts().with_audit(house.audit.clone());
    let log_in = async |name: &str| {
        post(
            &endpoint,
            &format!("username={name}&password=right&client_id=a%0Ab%1B"),
        )
        .await
    };

    for (name, hash) in [("broken", "$what"), ("old", "$fake$0$7269676874")] {
        let user = Credential::new(UserId::new(format!("{id}{name}")), Username::new(name));
        let user = user.with_password_hash(PasswordHash::new(hash));
        house.users.create(&user).await.unwrap();
        house.faults.fail("users.replace_hash", 1);
        log_in(name).await;
        log_in(name).await;
    }
    let cookie = cookie(&log_in("old").await, "refresh_token").unwrap();
    let cookie = format!("refresh_token={cookie}");
    for _ in 0..2 {
        endpoint
            .handle_refresh([cookie.as_bytes()], Some(ABROAD))
            .await;
        house.clock.advance(Duration::from_secs(60));
    }
    let user_id = UserId::new(format!("{id}old"));
    house.faults.fail("families.revoke_all", 1);
    let _ = accounts.disable(&user_id).await;
    accounts.delete(&user_id).await.unwrap();

    let lines = log.lines();
    for said in [
        "cannot log in until",
        "could not replace",
        "replaced an obsolete",
        "was used again",
        "refused",
        "succeeded",
        "deleted",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(said)),
            "{said}: {lines:#?}"
        );
    }
    for line in &lines {
        let is_whole = line.chars().all(|c| !c.is_control() && c != '\u{202e}');
        assert!(is_whole, "{line:?}");
    }
}

/// Keeps lines: those of the target `portcullis::audit`, as they were given, or all, as
/// `tracing-subscriber` prints them.
#[derive(Clone, Debug, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    of_everything: bool,
}

impl Log {
    fn of_everything() -> Self {
        Self {
            of_everything: true,
            ..Self::default()
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

struct Line {
    text: String,
    quotes: bool,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text += &format!(" {}={value:?}", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.quotes {
            self.record_debug(field, &value);
        } else {
            self.text += &format!(" {}={value}", field.name());
        }
    }

    fn record_error(&mut self, field: &Field, mut error: &(dyn StdError + 'static)) {
        self.text += &format!(" {}={error}", field.name());
        while let Some(source) = error.source() {
            self.text += &format!(": {source}");
            error = source;
        }
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        self.of_everything || metadata.target() == "portcullis::audit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line {
            text: event.metadata().level().to_string(),
            quotes: self.of_everything,
        };
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
