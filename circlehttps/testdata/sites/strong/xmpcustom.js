var xmpcustom = {
	loginUrl: 'https://www.example.com/spring/login.html'
}