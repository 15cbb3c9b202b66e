//! Shared by the tests and the load tool.
