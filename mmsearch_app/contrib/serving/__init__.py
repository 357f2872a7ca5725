"""A server of one embedder, in the shape of OpenAI's `/v1/embeddings`, pictures included.

On Starlette and uvicorn, two small packages without a compiler: all that is needed is one route.
LitServe (0.2.19) brings FastAPI, pyzmq and processes of its own, and its embeddings take `input`
but no `messages`; BentoML is a system for building and deploying services. Both batch by a window
of time, which a lone query has to wait for; `mmsearch_app.embedders.batching` has none.
"""
