"""How gunicorn runs the licence generator."""

import os

# A Unix socket that only this user and its group open: hookgate runs in that group, nobody else gets in.
bind = os.environ.get("BIND", "unix:/run/licences/licences.sock")
umask = 0o007
workers = 3
accesslog = "-"
access_log_format = 'request %(m)s %(U)s %(s)s'
# A socket in the home directory by which this version could be steered; nobody here does.
control_socket_disable = True
