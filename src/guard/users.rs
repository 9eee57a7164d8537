//! Users and their passwords, as RFC 7617 sends them.
//!
//! Invariant: no password is kept as it is, none is in an error or a `Debug`, and how long a comparison takes says nothing of what is
//! compared. A hash that is meant to be slow is computed on a thread of its own; whom it let in is known from then on by a fast one.

use super::Verdict;
use crate::http::{Inquiry, Reject, Request};
use crate::offload::{self, Pool};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use std::fmt;
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq;

/// What bcrypt looks at of a password.
const BCRYPT_BYTES_MAX: usize = 72;

/// Past it a password takes seconds.
const BCRYPT_COST_MAX: u32 = 16;

/// How a bcrypt hash begins: as htpasswd -B writes it, and as others do.
const BCRYPT: [&str; 4] = ["$2y$", "$2b$", "$2a$", "$2x$"];

/// How hashes begin that are not known here, so that none of them is taken for a password.
const OTHER_HASHES: [&str; 9] = ["$1$", "$5$", "$6$", "$7$", "$y$", "$apr1$", "$argon2", "$scrypt$", "{SHA}"];

/// Guesses wait for one thread, so that whoever tries many takes one core and none of what others do beside the loop.
const VERIFYING: offload::Limits = offload::Limits { threads_max: 1, queue_max: 64 };

/// Who may ask. Clones are of the same users.
#[derive(Clone)]
pub struct Users {
    accounts: Arc<Vec<Account>>,
    pool: Arc<Pool>,
}

#[derive(Clone)]
struct Account {
    name: String,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    /// Of the name and the password.
    Known(Fast),
    /// `verified`: the same, of the password that matched.
    Hashed { bcrypt: String, verified: OnceLock<Fast> },
}

type Fast = [u8; 32];

/// Why a line is no user. Says nothing of what stands in it but the name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UserError {
    /// There is no colon, or nothing before or after it.
    Malformed,
    /// Name or password have control characters.
    ControlCharacter,
    /// There are two of that name.
    Twice { name: String },
    /// The password is a hash of another kind.
    UnknownHash { name: String },
    /// The password begins like bcrypt's hash and is none.
    BadHash { name: String },
    /// The hash takes seconds to compute.
    CostlyHash { name: String, cost: u32 },
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserError::Malformed => f.write_str("a user is a name, a colon, a password or its bcrypt hash"),
            UserError::ControlCharacter => f.write_str("a user's name or password has a control character"),
            UserError::Twice { name } => write!(f, "there are two passwords of {name:?}"),
            UserError::UnknownHash { name } => {
                write!(
                    f,
                    "what is kept for {name:?} is a hash of a kind that is not known here; try htpasswd -B, which makes bcrypt's"
                )
            }
            UserError::BadHash { name } => write!(f, "what is kept for {name:?} begins like a bcrypt hash and is none"),
            UserError::CostlyHash { name, cost } => {
                write!(
                    f,
                    "the hash of {name:?} has a cost of {cost}, which takes too long; the most is {BCRYPT_COST_MAX}"
                )
            }
        }
    }
}

impl std::error::Error for UserError {}

impl Default for Users {
    fn default() -> Users {
        Users { accounts: Arc::default(), pool: Arc::new(Pool::new(VERIFYING)) }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.accounts.iter().map(|account| &account.name)).finish()
    }
}

impl Users {
    /// The same with one more, as `NAME:PASSWORD` or `NAME:HASH`: a bcrypt hash, as `htpasswd -B` writes it.
    ///
    /// # Errors
    /// [`UserError`]
    pub fn with(mut self, user: &str) -> Result<Users, UserError> {
        let account = Account::parse(user)?;
        if self.accounts.iter().any(|other| other.name == account.name) {
            return Err(UserError::Twice { name: account.name });
        }
        Arc::make_mut(&mut self.accounts).push(account);
        Ok(self)
    }

    /// Whether there is none, so that nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The user whose password a request has, for a log: as far as that is known already, as it is of whoever was let in.
    pub fn known(&self, request: &Request<'_>) -> Option<&str> {
        Some(&self.find(&Credentials::of(request)?)?.name)
    }

    pub(super) fn judge(&self, request: &Request<'_>) -> Verdict {
        let Some(credentials) = Credentials::of(request) else { return Verdict::Refuse(Reject::Unauthorized) };
        if self.find(&credentials).is_some() {
            return Verdict::Pass;
        }
        if !self.accounts.iter().any(|account| matches!(account.secret, Secret::Hashed { .. })) {
            return Verdict::Refuse(Reject::Unauthorized);
        }
        let users = self.clone();
        Verdict::Inquire(Inquiry::new(self.pool.clone(), move || match users.verify(&credentials) {
            true => None,
            false => Some(Reject::Unauthorized.into()),
        }))
    }

    /// Whose credentials these are known to be. Looks at all, and at the whole of each.
    fn find(&self, credentials: &Credentials) -> Option<&Account> {
        let (whole, cut) = (credentials.fast(usize::MAX), credentials.fast(BCRYPT_BYTES_MAX));
        let is_match = |account: &Account| match &account.secret {
            Secret::Known(fast) => fast.ct_eq(&whole).into(),
            Secret::Hashed { verified, .. } => verified.get().is_some_and(|fast| fast.ct_eq(&cut).into()),
        };
        self.accounts.iter().fold(None, |found, account| if is_match(account) { Some(account) } else { found })
    }

    /// Computes a slow hash, also for a name that is not there: how long it takes would say so.
    fn verify(&self, credentials: &Credentials) -> bool {
        if self.find(credentials).is_some() {
            return true; // Another request with the same came before.
        }
        let mut any = None;
        for account in self.accounts.iter() {
            if let Secret::Hashed { bcrypt, verified } = &account.secret {
                if account.name.as_bytes() == credentials.name {
                    let is_match = bcrypt::verify(&credentials.password, bcrypt).unwrap_or(false);
                    if is_match {
                        verified.get_or_init(|| credentials.fast(BCRYPT_BYTES_MAX));
                    }
                    return is_match;
                }
                any = Some(bcrypt);
            }
        }
        if let Some(bcrypt) = any {
            let _ = bcrypt::verify(&credentials.password, bcrypt);
        }
        false
    }
}

impl Account {
    fn parse(text: &str) -> Result<Account, UserError> {
        let parts = text.split_once(':').filter(|(name, secret)| !name.is_empty() && !secret.is_empty());
        let (name, secret) = parts.ok_or(UserError::Malformed)?;
        // RFC 7617 §2: neither has any.
        if text.chars().any(char::is_control) {
            return Err(UserError::ControlCharacter);
        }
        let name = name.to_string();
        if OTHER_HASHES.iter().any(|start| secret.starts_with(start)) {
            return Err(UserError::UnknownHash { name });
        }
        if !BCRYPT.iter().any(|start| secret.starts_with(start)) {
            let credentials = Credentials { name: name.clone().into(), password: secret.into() };
            return Ok(Account { name, secret: Secret::Known(credentials.fast(usize::MAX)) });
        }
        match secret.parse::<HashParts>().map(|parts| parts.get_cost()) {
            Err(_) => Err(UserError::BadHash { name }),
            Ok(cost) if cost > BCRYPT_COST_MAX => Err(UserError::CostlyHash { name, cost }),
            Ok(_) => Ok(Account { name, secret: Secret::Hashed { bcrypt: secret.into(), verified: OnceLock::new() } }),
        }
    }
}

/// Name and password, as a request says them.
struct Credentials {
    name: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// RFC 7617 §2. Two fields of it are none: which one is meant is not known.
    fn of(request: &Request<'_>) -> Option<Credentials> {
        let fields = request.fields();
        let mut values = fields.all("authorization");
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (scheme, token) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let mut name = BASE64_STANDARD.decode(token.trim_ascii_start()).ok()?;
        // Without control characters, of which bcrypt would take some passwords for others.
        let at = memchr::memchr(b':', &name).filter(|_| !name.iter().any(u8::is_ascii_control))?;
        let password = name.split_off(at + 1);
        name.pop();
        Some(Credentials { name, password })
    }

    /// A hash that is compared in place of the password, of which no more than `bytes_max` count.
    fn fast(&self, bytes_max: usize) -> Fast {
        let password = &self.password[..self.password.len().min(bytes_max)];
        let mut hash = hmac_sha256::Hash::new();
        hash.update(&self.name);
        hash.update(b":");
        hash.update(password);
        hash.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_user_or_says_why_not_without_the_password() {
        let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string();
        for user in ["ann:secret", "ann:se:cret", "ann b:\u{e4}", "ann:$ecret", &format!("ann:{hash}")] {
            assert!(Users::default().with(user).is_ok(), "{user}");
        }
        let name = || "ann".to_string();
        for (user, want) in [
            ("secret", UserError::Malformed),
            (":secret", UserError::Malformed),
            ("ann:", UserError::Malformed),
            ("ann:sec\tret", UserError::ControlCharacter),
            ("ann:$apr1$secret", UserError::UnknownHash { name: name() }),
            ("ann:{SHA}secret", UserError::UnknownHash { name: name() }),
            ("ann:$argon2id$secret", UserError::UnknownHash { name: name() }),
            ("ann:$2y$05$secret", UserError::BadHash { name: name() }),
            (&format!("ann:{}", hash.replace("$04$", "$17$")), UserError::CostlyHash { name: name(), cost: 17 }),
        ] {
            let error = Users::default().with(user).unwrap_err();
            assert_eq!(error, want, "{user}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        let twice = Users::default().with("ann:a").unwrap().with("ann:b").unwrap_err();
        assert_eq!(twice, UserError::Twice { name: name() });
        assert_eq!(format!("{:?}", Users::default().with("ann:secret").unwrap()), "[\"ann\"]");
    }

    #[test]
    fn a_hash_is_computed_once_for_a_password_that_matches_and_each_time_for_one_that_does_not() {
        let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoY);
        let users = Users::default().with(&format!("ann:{hash}")).unwrap().with("bob:plain").unwrap();
        let said = |name: &str, password: &str| Credentials { name: name.into(), password: password.into() };
        let is_known = |credentials: &Credentials| users.find(credentials).map(|account| account.name.as_str());
        assert_eq!(is_known(&said("bob", "plain")), Some("bob"));
        for (name, password) in [("ann", "wrong"), ("bob", "secret"), ("eve", "secret"), ("", ""), ("ann", &hash)] {
            let wrong = said(name, password);
            assert!(!users.verify(&wrong) && is_known(&wrong).is_none(), "{name}:{password}");
        }
        let right = said("ann", "secret");
        assert_eq!(is_known(&right), None);
        assert!(users.verify(&right));
        assert_eq!(is_known(&right), Some("ann"));
        assert_eq!(is_known(&said("ann", "secrets")), None);
    }

    #[test]
    fn of_a_long_password_as_much_counts_as_bcrypt_looks_at() {
        let long = "x".repeat(80);
        let hash = bcrypt::hash_with_salt(&long, 4, [7; 16]).unwrap().to_string();
        let users = Users::default().with(&format!("ann:{hash}")).unwrap();
        for password in [&long, &"x".repeat(72), &"x".repeat(79)] {
            let said = Credentials { name: "ann".into(), password: password.as_str().into() };
            assert!(users.verify(&said) && users.find(&said).is_some(), "{} bytes", password.len());
        }
        assert!(!users.verify(&Credentials { name: "ann".into(), password: "x".repeat(71).into() }));
    }
}
