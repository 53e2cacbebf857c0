//! What a cluster should be: objects and how layers compose. Pure functions over JSON values.
