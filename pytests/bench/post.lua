-- wrk: POST a body of $SIZE bytes.
wrk.method = "POST"
wrk.body = string.rep("x", tonumber(os.getenv("SIZE")))
