//! Which fields name the items of a Kubernetes list, so that lists merge item by item.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where a list stands: its own field and the field above it (of the map or list item that holds it).
///
/// `spec.template.spec.containers[0].ports` is `ListField { parent: "containers", name: "ports" }`. The parent tells a
/// container's ports from a service's; both are called `ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListField<'a> {
    /// The field that holds the map with the list; empty at the root.
    pub parent: &'a str,
    /// The field that holds the list; empty at the root.
    pub name: &'a str,
}

impl<'a> ListField<'a> {
    /// The root of an object or document: nothing above it.
    pub const ROOT: ListField<'static> = ListField { parent: "", name: "" };

    /// The field `name` of the map that stands at `self`.
    #[must_use]
    pub fn child<'b>(self, name: &'b str) -> ListField<'b>
    where
        'a: 'b,
    {
        ListField { parent: self.name, name }
    }
}

/// One field of a key, with the value that the API server fills in when it is absent.
#[derive(Debug, PartialEq, Eq)]
struct KeyField {
    name: &'static str,
    default: Option<&'static str>,
}

const fn required(name: &'static str) -> KeyField {
    KeyField { name, default: None }
}

const NAME: &[KeyField] = &[required("name")];
const PROTOCOL: KeyField = KeyField { name: "protocol", default: Some("TCP") };

/// The fields that tell the items of one list apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NaturalKey {
    fields: &'static [KeyField],
}

/// The values of an item's key fields, as JSON texts. Equal keys mean the same item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey(Vec<String>);

impl NaturalKey {
    /// The key of lists in `field`, whatever their items; `None` for lists that Kubernetes replaces as a whole.
    ///
    /// | list | key |
    /// |---|---|
    /// | `containers` `initContainers` `ephemeralContainers` `env` `volumes` `imagePullSecrets` `schedulingGates` `resourceClaims` `claims` `secrets` `webhooks` `matchConditions` `variables` | `name` |
    /// | `ports` of a container | `containerPort`, `protocol` (absent: TCP) |
    /// | `ports` of a service's `spec` | `port`, `protocol` (absent: TCP) |
    /// | `volumeMounts` | `mountPath` |
    /// | `volumeDevices` | `devicePath` |
    /// | `hostAliases` `hostIPs` `podIPs` | `ip` |
    /// | `topologySpreadConstraints` | `topologyKey`, `whenUnsatisfiable` |
    /// | `conditions` `addresses` | `type` |
    /// | `ownerReferences` | `uid` |
    ///
    /// Source: the struct tags `patchMergeKey` and the markers `+listMapKey` of `k8s.io/api` and `k8s.io/apimachinery`
    /// 1.37 (in OpenAPI: `x-kubernetes-patch-merge-key`, `x-kubernetes-list-map-keys`). Where the two differ, the latter
    /// is taken, as server-side apply does: strategic merge knows ports by number alone and so mistakes `53/UDP` for
    /// `53/TCP`. Not keyed, as in Kubernetes: `tolerations`, `subjects`, `rules`, `envFrom`, `args`, `finalizers`, the
    /// ports of network policies and endpoints.
    #[must_use]
    pub fn of_field(field: ListField<'_>) -> Option<Self> {
        const CONTAINER_PORT: &[KeyField] = &[required("containerPort"), PROTOCOL];
        const SERVICE_PORT: &[KeyField] = &[required("port"), PROTOCOL];
        const MOUNT_PATH: &[KeyField] = &[required("mountPath")];
        const DEVICE_PATH: &[KeyField] = &[required("devicePath")];
        const IP: &[KeyField] = &[required("ip")];
        const TOPOLOGY: &[KeyField] = &[required("topologyKey"), required("whenUnsatisfiable")];
        const TYPE: &[KeyField] = &[required("type")];
        const UID: &[KeyField] = &[required("uid")];

        let fields = match (field.parent, field.name) {
            ("containers" | "initContainers" | "ephemeralContainers", "ports") => CONTAINER_PORT,
            ("spec", "ports") => SERVICE_PORT,
            (
                _,
                "containers"
                | "initContainers"
                | "ephemeralContainers"
                | "env"
                | "volumes"
                | "imagePullSecrets"
                | "schedulingGates"
                | "resourceClaims"
                | "claims"
                | "secrets"
                | "webhooks"
                | "matchConditions"
                | "variables",
            ) => NAME,
            (_, "volumeMounts") => MOUNT_PATH,
            (_, "volumeDevices") => DEVICE_PATH,
            (_, "hostAliases" | "hostIPs" | "podIPs") => IP,
            (_, "topologySpreadConstraints") => TOPOLOGY,
            (_, "conditions" | "addresses") => TYPE,
            (_, "ownerReferences") => UID,
            _ => return None,
        };
        Some(Self { fields })
    }

    /// The names of the key's fields, in the order of the table.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }

    /// The key of `item`; `None` when it is not a map or lacks a key field.
    #[must_use]
    pub fn of_item(self, item: &Value) -> Option<ItemKey> {
        let item = item.as_object()?;
        self.of_fields(|name| item.get(name))
    }

    /// The key of an item whose fields `get` knows.
    pub(crate) fn of_fields<'v>(self, get: impl Fn(&str) -> Option<&'v Value>) -> Option<ItemKey> {
        let value = |field: &KeyField| match (get(field.name), field.default) {
            (Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))), _) => Some(value.to_string()),
            (None | Some(Value::Null), Some(default)) => Some(Value::from(default).to_string()),
            _ => None,
        };
        self.fields.iter().map(value).collect::<Option<_>>().map(ItemKey)
    }
}

/// The key of the list `items` in `field`; `None` when any item lacks the key or two have the same: the list is then
/// positional.
#[must_use]
pub fn natural_key(field: ListField<'_>, items: &[Value]) -> Option<NaturalKey> {
    let key = NaturalKey::of_field(field)?;
    let mut seen = BTreeSet::new();
    items.iter().all(|item| key.of_item(item).is_some_and(|key| seen.insert(key))).then_some(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_have_the_keys_that_kubernetes_gives_them() {
        let table: [(&str, &str, Option<&[&str]>); 14] = [
            ("spec", "containers", Some(&["name"])),
            ("spec", "initContainers", Some(&["name"])),
            ("containers", "ports", Some(&["containerPort", "protocol"])),
            ("spec", "ports", Some(&["port", "protocol"])),
            ("ingress", "ports", None),
            ("subsets", "ports", None),
            ("containers", "env", Some(&["name"])),
            ("containers", "volumeMounts", Some(&["mountPath"])),
            ("spec", "hostAliases", Some(&["ip"])),
            ("spec", "topologySpreadConstraints", Some(&["topologyKey", "whenUnsatisfiable"])),
            ("status", "conditions", Some(&["type"])),
            ("spec", "tolerations", None),
            ("", "subjects", None),
            ("", "rules", None),
        ];
        for (parent, name, expected) in table {
            let key = NaturalKey::of_field(ListField { parent, name });
            let found = key.map(|key| key.fields().collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{parent}.{name}");
        }
    }

    #[test]
    fn items_without_a_key_or_with_the_same_make_a_list_positional() {
        let env = ListField { parent: "containers", name: "env" };
        let table = [
            (json!([]), true),
            (json!([{"name": "A"}, {"name": "B"}]), true),
            (json!([{"name": "A"}, {"name": "A"}]), false),
            (json!([{"name": "A"}, {"value": "B"}]), false),
            (json!([{"name": null}]), false),
            (json!([{"name": {"a": 1}}]), false),
            (json!(["A"]), false),
        ];
        for (items, keyed) in table {
            assert_eq!(natural_key(env, items.as_array().unwrap()).is_some(), keyed, "{items}");
        }
    }

    #[test]
    fn a_port_without_a_protocol_is_a_tcp_port() {
        let ports = ListField { parent: "containers", name: "ports" };
        let key = NaturalKey::of_field(ports).unwrap();
        let of = |item: Value| key.of_item(&item).unwrap();
        assert_eq!(of(json!({"containerPort": 53})), of(json!({"containerPort": 53, "protocol": "TCP"})));
        assert_ne!(of(json!({"containerPort": 53})), of(json!({"containerPort": 53, "protocol": "UDP"})));
    }
}
