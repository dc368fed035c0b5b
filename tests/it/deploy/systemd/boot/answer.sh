#!/bin/bash
# An application behind hookgate, as inetd would run it: one request, one answer.
length=0
while IFS= read -r line; do
  line=${line%$'\r'}
  [ -n "$line" ] || break
  case "${line,,}" in content-length:*) length=${line#*: } ;; esac
done
head -c "$length" >/dev/null
printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
