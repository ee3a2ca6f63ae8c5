"""Every decoder of what comes from outside, fed with what no peer of ours sends."""
