//! YAML in (with the place of every node, budgets, no duplicate keys) and YAML out (every string safe).
