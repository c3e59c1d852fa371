//! Bearer tokens (RFC 7519), verified once and then remembered for a while.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use parking_lot::RwLock;
use serde::Deserialize;
use terms::{Clock, Fault, Reason, Timestamp};

use super::{Credential, jwks::KeyFile, scopes, tenant};
use crate::config::Auth;

/// Verifies tokens.
pub(crate) struct Verifier {
    issuer: String,
    audience: String,
    leeway: std::time::Duration,
    remember: std::time::Duration,
    clock: Arc<dyn Clock>,
    keys: KeyFile,
    /// By the whole token. Without a verified signature nothing comes in, so that nobody else can fill it.
    seen: RwLock<HashMap<Box<str>, Arc<Seen>>>,
}

struct Seen {
    credential: Credential,
    until: Timestamp,
    generation: u64,
}

/// Tokens remembered at most.
const MOST: usize = 10_000;
/// A longer token is refused before it is looked at; bytes.
const LONGEST: usize = 16 << 10;

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    aud: Audience,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

fn invalid(problem: &'static str, message: &str) -> Fault {
    Fault::new(Reason::CredentialInvalid, format!("the token is refused: {message}")).with("problem", problem)
}

impl Verifier {
    pub(super) fn new(auth: &Auth, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let path = auth.jwks_file.as_deref().ok_or_else(|| Fault::internal("auth.jwks_file is not set"))?;
        Ok(Self {
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            leeway: auth.leeway.get(),
            remember: auth.cache.get(),
            keys: KeyFile::open(path, clock.clone())?,
            clock,
            seen: RwLock::default(),
        })
    }

    /// What the request's token says; `None` when it carries none.
    pub(super) fn credential(&self, headers: &HeaderMap) -> Result<Option<Credential>, Fault> {
        let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let text = value.to_str().map_err(|_| invalid("malformed", "it holds other characters than ASCII"))?;
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(invalid("malformed", "the metadata must read `Bearer <token>`")),
        };
        let generation = self.keys.generation();
        let now = self.clock.now();
        if let Some(seen) = self.seen.read().get(token)
            && seen.until > now
            && seen.generation == generation
        {
            return Ok(Some(seen.credential.clone()));
        }
        self.verify(token, now).map(Some)
    }

    #[cold]
    fn verify(&self, token: &str, now: Timestamp) -> Result<Credential, Fault> {
        if token.len() > LONGEST {
            return Err(invalid("malformed", "it is longer than 16 KiB"));
        }
        let header = decode_header(token).map_err(|_| unreadable(token))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(invalid("algorithm", "it must be signed by RS256, ES256 or EdDSA"));
        }
        if header.crit.is_some() {
            return Err(invalid("malformed", "its header demands extensions (`crit`) that are not known here"));
        }
        let (claims, generation) = self.signed(token, &header)?;
        let until = self.check(&claims, now)?;
        let credential = credential(&claims)?;
        self.remember(token, Seen { credential: credential.clone(), until, generation }, now);
        Ok(credential)
    }

    /// The claims, if one of the keys has signed them.
    fn signed(&self, token: &str, header: &Header) -> Result<(Claims, u64), Fault> {
        let (keys, generation) = self.keys.keys();
        // Times, issuer and audience are checked here, by our clock and with our reasons.
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut fitting = 0;
        for key in keys.iter().filter(|key| key.algorithm == header.alg) {
            if header.kid.is_some() && key.id.is_some() && header.kid != key.id {
                continue;
            }
            fitting += 1;
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return Ok((data.claims, generation)),
                Err(e) => match e.kind() {
                    jsonwebtoken::errors::ErrorKind::Json(_) => {
                        return Err(invalid("claims", "its claims are not of the expected types"));
                    }
                    _ => continue,
                },
            }
        }
        Err(match fitting {
            0 => invalid("key", "no key of `auth.jwks_file` has its `kid` and algorithm"),
            _ => invalid("signature", "no known key has signed it"),
        })
    }

    /// Until when the claims hold, as far as this server remembers.
    fn check(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, Fault> {
        if claims.iss != self.issuer {
            return Err(invalid("issuer", "it is of another issuer"));
        }
        if !claims.aud.contains(&self.audience) {
            return Err(invalid("audience", "it is for another audience"));
        }
        let Some(expires) = claims.exp.and_then(instant) else {
            return Err(invalid("claims", "it has no time of expiry (`exp`)"));
        };
        if now >= expires + self.leeway {
            let fault = Fault::new(Reason::CredentialExpired, "the token has expired; get a new one");
            return Err(fault.with("expire_time", rfc3339(expires)));
        }
        match claims.nbf {
            None => {}
            Some(seconds) => match instant(seconds) {
                Some(begins) if begins <= now + self.leeway => {}
                Some(begins) => {
                    let fault = Fault::new(Reason::CredentialExpired, "the token is not valid yet");
                    return Err(fault.with("not_before", rfc3339(begins)));
                }
                None => return Err(invalid("claims", "its `nbf` is no time")),
            },
        }
        Ok((expires + self.leeway).min(now + self.remember))
    }

    fn remember(&self, token: &str, seen: Seen, now: Timestamp) {
        let mut all = self.seen.write();
        if all.len() >= MOST {
            all.retain(|_, seen| seen.until > now);
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(token.into(), Arc::new(seen));
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("issuer", &self.issuer).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Whether a token that cannot be read at least has the shape of one: then it is its algorithm that is unknown.
fn unreadable(token: &str) -> Fault {
    match token.split('.').count() {
        3 => invalid("algorithm", "its header cannot be read, or names none of RS256, ES256 and EdDSA"),
        _ => invalid("malformed", "it is no signed token of three parts"),
    }
}

fn credential(claims: &Claims) -> Result<Credential, Fault> {
    if claims.sub.is_empty() || claims.sub.len() > 256 {
        return Err(invalid("claims", "its `sub` must have 1 to 256 characters"));
    }
    let tenant = match claims.tenant.as_str() {
        "*" => None,
        name => match tenant(name) {
            Some(tenant) => Some(tenant),
            None => return Err(invalid("claims", "its `tenant` names none")),
        },
    };
    Ok(Credential { tenant, subject: claims.sub.as_str().into(), scopes: scopes(&claims.scope) })
}

/// A `NumericDate`.
fn instant(seconds: f64) -> Option<Timestamp> {
    let fine = seconds.is_finite() && (0.0..=253_402_300_799.0).contains(&seconds);
    fine.then_some(Timestamp((seconds * 1e6) as i64))
}

/// The instant as RFC 3339 text, to the second.
fn rfc3339(instant: Timestamp) -> String {
    let (seconds, _) = instant.parts();
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = civil(days);
    let second = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_as_text() {
        assert_eq!(rfc3339(Timestamp::from_seconds(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp::from_seconds(951_827_696)), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(Timestamp::from_seconds(4_102_444_799)), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn dates_beyond_reason_are_none() {
        assert!(instant(f64::NAN).is_none() && instant(-1.0).is_none() && instant(1e300).is_none());
    }
}
