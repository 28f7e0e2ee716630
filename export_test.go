package revoke

// QueuedChecks returns how many checks wait for the next query of a store whose checks share them.
func QueuedChecks(p *Postgres) int {
	p.checks.mu.Lock()
	defer p.checks.mu.Unlock()
	return len(p.checks.waiting)
}
