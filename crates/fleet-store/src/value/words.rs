//! Values of the model as words.
//!
//! An unknown word is an error: see the crate's documentation on changes of the format.

/// For fields that are written by `Display` and read by `FromStr`.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// For identities of machines.
pub(super) mod machine_id {
    use fleet_model::MachineId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        id: &MachineId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MachineId, D::Error> {
        String::deserialize(deserializer).map(MachineId::new)
    }
}

/// For identities of machines that may be missing.
pub(super) mod maybe_machine_id {
    use fleet_model::MachineId;
    use serde::{Deserialize, Deserializer, Serializer};

    // Serde asks for this signature.
    #[allow(clippy::ref_option)]
    pub(in super::super) fn serialize<S: Serializer>(
        id: &Option<MachineId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.serialize_some(id.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<MachineId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map(MachineId::new))
    }
}

/// For lists of machines' identities.
pub(super) mod machine_ids {
    use fleet_model::MachineId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        ids: &[MachineId],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(MachineId::as_str))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<MachineId>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(MachineId::new).collect())
    }
}

/// For lists of units' names.
pub(super) mod unit_names {
    use serde::{Deserialize, Deserializer, Serializer};
    use systemd_unit::UnitName;

    pub(in super::super) fn serialize<S: Serializer>(
        names: &[UnitName],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(UnitName::as_str))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<UnitName>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let names = texts.into_iter().map(UnitName::new);
        names
            .collect::<Result<_, _>>()
            .map_err(serde::de::Error::custom)
    }
}
