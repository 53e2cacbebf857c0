//! The text that lets a new node into a fleet once: which fleet, which hub, which invitation, and its secret.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "its input comes from a network or a disk"
    )
)]

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::env::Entropy;
use crate::id::NodeId;
use crate::identity::CaPin;

/// What every token of this format starts with.
const PREFIX: &str = "archipel1.";

const PIN_BYTES: usize = 32;
const HUB_BYTES: usize = 16;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
/// Characters after the prefix: base64 without padding.
const CHARACTERS: usize = ((BODY_BYTES + CHECKSUM_BYTES) * 4).div_ceil(3);
const BODY_BYTES: usize = PIN_BYTES + HUB_BYTES + ID_BYTES + SECRET_BYTES;

/// A join token. That it works once and for how long is the hub's to say: it stores [`secret_hash`](Self::secret_hash) and
/// the expiry. Its debug form does not show the secret; its text form is the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The fleet. Checked during the handshake, before anything is sent.
    pub pin: CaPin,
    /// The first half of the id of the hub that redeems the token. A second hub does not know it, so that a token cannot be
    /// used twice while hubs are apart.
    pub hub: [u8; HUB_BYTES],
    /// Names the token in the hub's table. Not secret.
    pub id: [u8; ID_BYTES],
    /// Random; proves that the bearer was given the token.
    pub secret: [u8; SECRET_BYTES],
}

impl Token {
    /// Makes a token that `hub` will redeem.
    #[must_use]
    pub fn create(entropy: &mut dyn Entropy, pin: CaPin, hub: &NodeId) -> Self {
        let mut token = Self { pin, hub: hub_prefix(hub), id: [0; ID_BYTES], secret: [0; SECRET_BYTES] };
        entropy.fill(&mut token.id);
        entropy.fill(&mut token.secret);
        token
    }

    /// Reads a token's text form; white space around it is ignored.
    ///
    /// # Errors
    /// [`TokenError`] says whether it is no token at all or a mistyped one.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        // The length is looked at first, so that a pasted file is not decoded.
        if encoded.len() != CHARACTERS {
            return Err(TokenError::Length { characters: encoded.len() });
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Mistyped)?;
        let (body, sum) = bytes.split_at_checked(BODY_BYTES).ok_or(TokenError::Mistyped)?;
        if sum != checksum(body) {
            return Err(TokenError::Mistyped);
        }
        let mut rest = body;
        Ok(Self { pin: CaPin(take(&mut rest)?), hub: take(&mut rest)?, id: take(&mut rest)?, secret: take(&mut rest)? })
    }

    /// Whether `hub` is the one that redeems this token.
    #[must_use]
    pub fn names_hub(&self, hub: &NodeId) -> bool {
        self.hub == hub_prefix(hub)
    }

    /// What the hub stores in place of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        secret_hash(&self.id, &self.secret)
    }
}

/// The hash under which a hub stores a token's secret, to compare with [`Token::secret_hash`]. Both sides of the comparison
/// are hashes, so its time tells nothing about the secret.
#[must_use]
pub fn secret_hash(id: &[u8; ID_BYTES], secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026 join token secret");
    hasher.update(id).update(secret);
    *hasher.finalize().as_bytes()
}

/// The part of a hub's id that tokens and join requests name it by.
#[must_use]
pub fn hub_prefix(hub: &NodeId) -> [u8; HUB_BYTES] {
    let mut prefix = [0; HUB_BYTES];
    prefix.iter_mut().zip(hub.0).for_each(|(to, from)| *to = from);
    prefix
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [&self.pin.0[..], &self.hub, &self.id, &self.secret].concat();
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("pin", &self.pin).field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::parse(text)
    }
}

/// Why a text is no token. Whoever typed it is to blame; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It does not start as a token does.
    #[error("a join token starts with `{PREFIX}`; copy the whole line that the hub printed")]
    Prefix,
    /// Characters are missing or too many.
    #[error(
        "the join token has {characters} characters after `{PREFIX}`, not 102; copy the whole line that the hub printed"
    )]
    Length {
        /// Characters after the prefix.
        characters: usize,
    },
    /// The checksum does not match.
    #[error("the join token is mistyped: its checksum does not match; copy it again")]
    Mistyped,
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = blake3::derive_key("archipel 2026 join token checksum", body);
    [a, b, c, d]
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TokenError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TokenError::Mistyped)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token { pin: CaPin([1; 32]), hub: [2; 16], id: [3; 8], secret: [4; 16] }
    }

    #[test]
    fn a_token_survives_its_text_form() {
        let text = token().to_string();
        assert_eq!(Token::parse(&format!(" {text}\n")), Ok(token()));
        assert_eq!(text.len(), PREFIX.len() + 102);
    }

    #[test]
    fn every_single_mistyped_character_is_noticed() {
        let text = token().to_string();
        for place in PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'Q' { b'R' } else { b'Q' };
            assert_eq!(Token::parse(std::str::from_utf8(&bytes).unwrap()), Err(TokenError::Mistyped), "at {place}");
        }
    }

    #[test]
    fn a_cut_or_foreign_text_is_told_from_a_mistyped_one() {
        let text = token().to_string();
        assert_eq!(Token::parse(&text[..text.len() - 1]), Err(TokenError::Length { characters: 101 }));
        assert_eq!(Token::parse("K10abc::server:def"), Err(TokenError::Prefix));
    }

    #[test]
    fn the_debug_form_hides_the_secret() {
        assert!(!format!("{:?}", token()).contains("4, 4"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(archipel1\\.)?\\PC{0,120}") {
            let _ = Token::parse(&text);
        }
    }
}
