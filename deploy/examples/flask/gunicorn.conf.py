"""How gunicorn runs the licence generator."""

import os

# Only this user and its group can open the Unix socket. hookgate runs in that group.
bind = os.environ.get("BIND", "unix:/run/licences/licences.sock")
umask = 0o007
workers = 3
accesslog = "-"
access_log_format = 'request %(m)s %(U)s %(s)s'
# Turns off the control socket that this version of gunicorn would open in the home directory.
control_socket_disable = True
