# A Python application under gunicorn, for the example in deploy/examples/flask. Its directory is the build context.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm
FROM ${PYTHON_IMAGE}
WORKDIR /application
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
# A new volume gets the owner of the directory on which it is mounted.
RUN install -d -o 65532 -g 65532 /var/lib/application
USER 65532:65532
EXPOSE 8000
CMD ["gunicorn", "--config", "gunicorn.conf.py", "licences:app"]
