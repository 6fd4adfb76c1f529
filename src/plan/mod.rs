//! `Manifest` to `Plan`: names, networks, token files, allowlists, all decided. Pure.
