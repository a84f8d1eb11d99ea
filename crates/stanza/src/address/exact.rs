//! Addresses known to have a resource, or to have none.

use std::fmt;
use std::str::FromStr;

use super::{Address, AddressError};

/// An address without a resource: an account (`local@domain`) or a server (`domain`).
///
/// Use it for lists of accounts, which may connect from any of their clients. A full address, which would match nothing
/// there, cannot get in by mistake:
///
/// ```
/// use xtls_stanza::{Address, Bare};
///
/// let romeo = Address::new("romeo@montague.example/orchard")?;
/// assert_eq!(romeo.to_bare(), Bare::new("romeo@montague.example")?);
/// assert!(Bare::try_from(romeo).is_err());
/// # Ok::<(), xtls_stanza::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bare(Address);

/// An address with a resource: one client of an account (`local@domain/resource`).
///
/// ```
/// use xtls_stanza::{Bare, Full};
///
/// let juliet = Bare::new("juliet@capulet.example")?;
/// let balcony = juliet.with_resource("balcony")?;
/// assert_eq!(balcony, Full::new("juliet@capulet.example/balcony")?);
/// assert_eq!((balcony.resource(), balcony.to_bare()), ("balcony", juliet));
/// # Ok::<(), xtls_stanza::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Full(Address);

impl Bare {
    pub(super) fn of(address: &Address) -> Self {
        Self(address.without_resource())
    }

    /// Checks and normalises an address, as [`Address::new`].
    ///
    /// # Errors
    ///
    /// The text is not an address, or has a resource. Nothing is stripped: for that see [`Address::to_bare`].
    pub fn new(text: &str) -> Result<Self, AddressError> {
        Address::new(text)?.try_into()
    }

    /// The client with this resource.
    ///
    /// # Errors
    ///
    /// A resource that is empty, too long, or holds a forbidden character.
    pub fn with_resource(&self, resource: &str) -> Result<Full, AddressError> {
        self.0.with_resource(resource)
    }
}

impl Full {
    pub(super) fn of(address: &Address, resource: &str) -> Result<Self, AddressError> {
        address.replace_resource(resource).map(Self)
    }

    /// Checks and normalises an address, as [`Address::new`].
    ///
    /// # Errors
    ///
    /// The text is not an address, or has no resource.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        Address::new(text)?.try_into()
    }

    /// The part after the first `/`.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }

    /// The account.
    pub fn to_bare(&self) -> Bare {
        self.0.to_bare()
    }
}

impl TryFrom<Address> for Bare {
    type Error = AddressError;

    fn try_from(address: Address) -> Result<Self, AddressError> {
        if address.is_full() {
            Err(AddressError::NotBare)
        } else {
            Ok(Self(address))
        }
    }
}

impl TryFrom<Address> for Full {
    type Error = AddressError;

    fn try_from(address: Address) -> Result<Self, AddressError> {
        if address.is_full() {
            Ok(Self(address))
        } else {
            Err(AddressError::NotFull)
        }
    }
}

/// What both kinds can do.
macro_rules! exact {
    ($type:ty) => {
        impl $type {
            /// The whole normalised address.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// Borrows it where either kind will do.
            pub fn as_address(&self) -> &Address {
                &self.0
            }

            /// The part before the `@`.
            pub fn local(&self) -> Option<&str> {
                self.0.local()
            }

            /// The domain.
            pub fn domain(&self) -> &str {
                self.0.domain()
            }
        }

        impl From<$type> for Address {
            fn from(exact: $type) -> Self {
                exact.0
            }
        }

        impl TryFrom<&str> for $type {
            type Error = AddressError;

            fn try_from(text: &str) -> Result<Self, AddressError> {
                Self::new(text)
            }
        }

        impl FromStr for $type {
            type Err = AddressError;

            fn from_str(text: &str) -> Result<Self, AddressError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<Address> for $type {
            fn as_ref(&self) -> &Address {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

exact!(Bare);
exact!(Full);
