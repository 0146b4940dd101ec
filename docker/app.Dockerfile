# The web server. It computes nothing, so its lock holds neither torch nor what needs it.
FROM python:3.11-slim
WORKDIR /lethe
COPY docker/requirements/web.txt web.txt
RUN pip install --no-cache-dir --no-deps -r web.txt
COPY app app
COPY worker/__init__.py worker/__init__.py
COPY worker/contract worker/contract
COPY worker/store worker/store
COPY worker/engine worker/engine
COPY templates templates
COPY static static
RUN useradd --create-home lethe && mkdir /data && chown lethe /data
USER lethe
ENV LETHE_HOST=0.0.0.0 LETHE_DATA=/data
EXPOSE 8420
HEALTHCHECK --interval=10s --start-period=30s CMD ["python", "-m", "app.probe"]
CMD ["python", "-m", "app"]
