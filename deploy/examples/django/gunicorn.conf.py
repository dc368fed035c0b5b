"""Settings of gunicorn for the shop; `--bind` sets the address."""

workers = 2
threads = 4
# For a Unix socket: only this user and its group can open it.
umask = 0o007
accesslog = "-"
access_log_format = "request %(m)s %(U)s %(s)s"
# Turns off the control socket that this version of gunicorn would open in the home directory.
control_socket_disable = True
