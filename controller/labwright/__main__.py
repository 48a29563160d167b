from labwright.cli.main import main

main()
