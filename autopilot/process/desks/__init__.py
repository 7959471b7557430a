"""One desk for each thing a caller asks for: tasks, leases, evidence, approvals, attestation, flags, configuration."""
