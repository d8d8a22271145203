//! Users are listed in order, page by page.

use portcullis_core::{Credential, CredentialStore, Username};

use super::user;
use crate::property::{equal, texts};
use crate::suite::{Outcome, Subject, Violation};

/// The pages hold each user exactly once, whole, in byte order of usernames.
///
/// # Errors
/// How the property was violated.
pub async fn list_pages_in_byte_order(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    equal("list", &store.list(None, 10).await?, &vec![])?;
    let expected = create_all(subject, texts(subject)).await?;

    let mut listed: Vec<Credential> = Vec::new();
    loop {
        let after = listed.last().map(|user| &user.username);
        let page = store.list(after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        listed.extend(page);
        if listed.len() > expected.len() {
            return Err(Violation::new("list does not come to an end"));
        }
    }
    equal("list, page by page", &listed, &expected)?;
    equal(
        "list, in one page",
        &store.list(None, usize::MAX).await?,
        &expected,
    )?;
    let page = store.list(None, PAGE).await?;
    equal("the first page", &page.as_slice(), &&expected[..PAGE])?;
    equal("a page of 0", &store.list(None, 0).await?, &vec![])
}

/// A listing goes on after a user who has been deleted meanwhile, or never was.
///
/// # Errors
/// How the property was violated.
pub async fn list_starts_after_any_name(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let names = ["b", "d", "f"].map(str::to_owned);
    let users = create_all(subject, names.into()).await?;
    for (after, expected) in [
        ("a", &users[..]),
        ("b\0", &users[1..]),
        ("c", &users[1..]),
        ("g", &users[3..]),
    ] {
        let page = store.list(Some(&Username::new(after)), 10).await?;
        equal("list after nobody", &page.as_slice(), &expected)?;
    }
    store.delete(&users[1].user_id).await?;
    let page = store.list(Some(&users[1].username), 10).await?;
    equal("list after a deleted user", &page.as_slice(), &&users[2..])
}

/// Creates users from the last to the first, and returns them in order.
async fn create_all(
    subject: &Subject<dyn CredentialStore>,
    mut names: Vec<String>,
) -> Result<Vec<Credential>, Violation> {
    let store = subject.handle();
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let users: Vec<_> = names.iter().map(|name| user(name)).collect();
    for user in users.iter().rev() {
        store.create(user).await?;
    }
    Ok(users)
}

const PAGE: usize = 3;
