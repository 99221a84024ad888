"""Rules of serving engines, one file each; they hold where a plan names the engine."""
