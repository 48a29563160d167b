-- The best trial of every task, by the metric of its sweep, else by its score.
SELECT task, round(score, 4) AS score, sweep_metric, params, job, author
FROM leaderboard
WHERE place = 1
ORDER BY task
