"""Where replicas run: processes of this machine under a guardian, or a fake that ships."""
