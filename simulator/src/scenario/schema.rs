//! The JSON schema of scenario files, and the table of their fields for the guide.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Scenario;

/// The schema, in JSON Schema's draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<Scenario>().to_value()
}
