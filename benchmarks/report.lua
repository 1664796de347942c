-- The last line of wrk's output as JSON: requests per second, latencies in ms.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "per_second": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
