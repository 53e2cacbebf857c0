//! The one place that asks the system for random bytes.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::env::Entropy;

/// The operating system's random bytes.
#[derive(Debug, Clone)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// A handle to the system's source.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for random bytes")]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    #[expect(clippy::expect_used, reason = "no key may be made without randomness, and no input leads here")]
    fn fill(&mut self, target: &mut [u8]) {
        self.0.fill(target).expect("the operating system gives random bytes");
    }
}
