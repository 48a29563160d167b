-- What the work cost, month by month: hours of cores and cards, and how many of them ended without a result.
SELECT month, author, provider,
       sum(attempts)::BIGINT AS attempts,
       round(sum(cpu_hours), 3) AS cpu_hours,
       round(coalesce(sum(cpu_hours) FILTER (outcome <> 'ok'), 0), 3) AS of_them_lost,
       round(sum(gpu_hours), 3) AS gpu_hours
FROM usage
GROUP BY month, author, provider
ORDER BY month DESC, cpu_hours DESC
