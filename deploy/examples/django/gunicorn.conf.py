"""How gunicorn runs the shop; `--bind` says where."""

workers = 2
threads = 4
# For a Unix socket: this user and its group, nobody else.
umask = 0o007
accesslog = "-"
access_log_format = "request %(m)s %(U)s %(s)s"
# A socket in the home directory by which this version could be steered; nobody here does.
control_socket_disable = True
