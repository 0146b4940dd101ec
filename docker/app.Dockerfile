# The web server. It computes nothing, so torch and what needs it are left out.
FROM python:3.11-slim
WORKDIR /lethe
COPY docker/requirements.txt docker/requirements.txt
RUN grep -v -i -E '^(torch|transformers|transformer-lens|accelerate|peft|scikit-learn|wandb|datasets|cwevals|playwright)==' \
      docker/requirements.txt > /tmp/app.txt \
 && pip install --no-cache-dir --no-deps -r /tmp/app.txt
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
CMD ["python", "-m", "app"]
