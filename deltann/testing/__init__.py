"""What tests of backends are made of: tiny models that check themselves, a conformance suite, a backend with faults."""
