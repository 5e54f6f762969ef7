"""Federation: mergeable state, server rules and the round as a pure state machine."""
