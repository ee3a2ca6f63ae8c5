"""From nothing to a running collector or site, and back: what `init`, `enrol` and `uninstall` do.

A plan is a list of steps (`steps`), made from options alone (`collector_plan`, `site_plan`); `performer` takes them and
keeps a list of what it made, by which it also takes it back. A site gets what it needs through one line: a token
(`enrolment_token`) names the server, its certificate and a secret; the bundle that it fetches is sealed by that secret.
"""
