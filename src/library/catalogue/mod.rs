//! The catalogue: departments, systems, resources, and the grants on them. Every change is an entry.
mod grant;
mod list;
mod put;

pub use grant::{apply, decide, file_grant, withdraw};
pub use list::{departments, grants, licence_types, resources, seals, systems};
pub use put::{first_system, put_department, put_resource, put_row, put_system};
